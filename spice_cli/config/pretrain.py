"""Settings of `pretrain`."""

from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, model_validator

from spice_cli.config.frozen import Compile, Count, Frozen, Positive, Precision, Share
from spice_cli.config.views import Views


class Pretrain(Frozen):
    """Pretraining. Unknown keys are the method's own and end up in `settings`."""

    method: str = "moco"
    backbone: str = "resnet18"
    stem: Literal["auto", "small", "patch", "pool", "imagenet"] = "auto"
    width: Count | None = None
    """Channels of the first stage; none is the backbone's own."""
    clusters: Annotated[int, Field(ge=2)] | None = Field(None, exclude_if=lambda k: k is None)
    """For methods that need it; none: as many as the data set declares classes."""
    epochs: Count = 200
    batch_size: Annotated[int, Field(ge=2)] = 512
    optimizer: Literal["sgd", "adam", "muon", "lars"] = "sgd"
    """As in the references: `adam` for CC, `lars` for batches of thousands, which leaves biases and
    batch norms without decay; `muon` needs fewer passes (and AdamW for what is no matrix)."""
    lr: Positive = 0.06
    adam_lr: Positive = 0.003
    """AdamW's rate beside Muon."""
    momentum: Share = 0.9
    """Of SGD, LARS and Muon; Adam's first beta."""
    nesterov: bool = False
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    warmup: Annotated[float, Field(ge=0)] = 0.0
    """Epochs over which the rate rises linearly from nothing."""
    precision: Precision = "auto"
    compile: Compile = "auto"
    views: Views = Views()
    settings: dict[str, JsonValue] = Field({})

    @model_validator(mode="after")
    def _nesterov(self) -> Self:
        if self.nesterov and not self.momentum:
            raise ValueError("`nesterov` needs a `momentum` above 0")
        return self
