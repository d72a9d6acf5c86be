"""Settings of `semi`."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from spice_cli.config.frozen import Compile, Count, Frozen, Positive, Precision, Share
from spice_cli.config.views import Strong, Weak


class Semi(Frozen):
    """Training on labels and on guesses. Unknown keys are the method's own, see `settings`."""

    method: str = "fixmatch"
    init: Literal["pretrain", "random"] = "pretrain"
    """`pretrain`: the run's own weights; `random`: as the released code does."""
    backbone: str | None = None
    """None: the run's own."""
    steps: Count | None = None
    """Updates at most; none is what `ops.schedule.semi_steps` plans for the reliable labels."""
    batch_size: Count = 64
    ratio: Count = 7
    """Unlabelled images for each labelled one (mu)."""
    unlabelled: bool = Field(False, exclude_if=lambda used: not used)
    """Whether the unlabelled images that `pretrain` sees are guessed at and learnt from as well,
    where the data set has any (STL-10)."""
    lr: Positive = 0.03
    momentum: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Nesterov's."""
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    weight: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the unlabelled loss (lambda_u)."""
    ema: Share = 0.999
    """Share of the past in the moving average of the weights, which is what counts."""
    stop: Share = 0.005
    """End when less than this share of the moving average's predictions changes between two looks,
    of which there are 40 in the planned steps; 0: never."""
    patience: Count = 3
    """Looks in a row at which that must be so."""
    weak: Weak = Weak()
    strong: Strong = Strong(policy="fixmatch", operations=3, cutout=0.5, pad=4)
    precision: Precision = "auto"
    compile: Compile = "auto"
    settings: dict[str, JsonValue] = Field({})
