"""What every config is made of. Torch-free, frozen, strict about unknown keys; each default once.

Where the paper (https://arxiv.org/abs/2103.09382, first version) and its released code differ,
`variant` picks a side and every single setting can still be set; `None` is what the variant says.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Area = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Precision = Literal["auto", "bf16", "fp32"]
Variant = Literal["code", "paper"]
Compile = Literal["auto", "on", "graphs", "off"]
"""`auto`: on a GPU, where the stage is long; `graphs`: with CUDA graphs too."""


class Frozen(BaseModel):
    """The base of every config and every manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
