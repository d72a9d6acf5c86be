"""Settings of SCAN alone."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from spice_cli.config.frozen import Count, Frozen, Positive, Share

Optimizer = Literal["adam", "sgd"]
Decay = Annotated[float, Field(ge=0)]
FEWEST, SMALL = 5_000, 500_000_000
"""Training images from which, and pixels of them all up to which `auto` trains the backbone, as the
reference does: every data set of 32 pixels, STL-10, Tiny-ImageNet; not ImageNet's subsets at 224.
Sets smaller than STL-10 (5,000 images) are not among those that it was tried on."""


class Confident(Frozen):
    """The self-labelling step, as the reference has it for CIFAR.

    For ImageNet it takes 25 epochs of 512, `sgd`, rate .03, no decay, no balance, EMA .999.
    """

    epochs: Count = 200
    batch_size: Count | None = None
    """None: 1,000, or a quarter of the images where that is less."""
    optimizer: Optimizer = "adam"
    lr: Positive = 1e-4
    weight_decay: Decay = 1e-4
    threshold: Share = 0.99
    """Probability above which an image teaches its cluster."""
    balance: bool = True
    """Whether clusters count alike, or images."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the past in the moving average that replaces the weights after every step."""


class ScanConfig(Frozen):
    """SCAN's own settings; None is the reference's value for the kind of training."""

    backbone: Literal["auto", "train", "frozen"] = "auto"
    """`train`: the whole network on images; `frozen`: linear heads on features; `auto`: `train`
    where there are images, not too few and not too many pixels."""
    neighbors: Count | None = None
    """Nearest neighbours that one is drawn from. `train` 20, `frozen` 50, and at most half of what
    a cluster has if all are even."""
    entropy: Annotated[float, Field(ge=0)] = 5.0
    """Weight of the entropy of the mean prediction; less for clusters of very different size."""
    optimizer: Optimizer | None = None
    """`train` Adam, `frozen` SGD."""
    momentum: Share = 0.9
    """SGD's."""
    weight_decay: Decay | None = None
    """`train` 1e-4, `frozen` none."""
    self_label: bool = False
    """Whether the confident self-labelling step follows, of the whole network."""
    confident: Confident = Confident()

    @model_validator(mode="after")
    def _fill(self) -> Self:
        if self.backbone != "auto":
            train = self.backbone == "train"
            defaults = {
                "optimizer": "adam" if train else "sgd",
                "weight_decay": 1e-4 if train else 0.0,
            }
            for key, value in defaults.items():
                if getattr(self, key) is None:
                    object.__setattr__(self, key, value)
        return self

    def settled(self, images: int, clusters: int, side: int | None) -> Self:
        """Fill in what is open, for so many images of `side` pixels (None: there are none)."""
        small = side is not None and images >= FEWEST and images * side**2 <= SMALL
        backbone = ("train" if small else "frozen") if self.backbone == "auto" else self.backbone
        most = min(20 if backbone == "train" else 50, images // (2 * clusters))
        batch = self.confident.batch_size or min(1000, images // 4)
        update = {
            "backbone": backbone,
            "neighbors": min(self.neighbors or max(1, most), images - 1),
            "confident": self.confident.model_copy(update={"batch_size": max(1, batch)}),
        }
        return self.model_validate(self.model_copy(update=update).model_dump())
