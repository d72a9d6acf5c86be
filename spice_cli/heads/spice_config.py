"""Settings of SPICE-Self alone."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from spice_cli.config.frozen import Count, Frozen, Positive, Variant

Balance = Literal["equal", "none"]
LABELLED: dict[Variant, int] = {"code": 500, "paper": 100}
"""Images that are labelled together, a cluster: 5,000 and 1,000 at ten clusters."""


class SpiceConfig(Frozen):
    """Settings of SPICE-Self."""

    variant: Variant = "code"
    batch: Count | None = None
    """M, images labelled together; `code` 500 a cluster, `paper` 100 a cluster."""
    passes: Count | None = None
    """Passes over each labelled batch; `code` 8, `paper` 1."""
    ratio: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of a cluster's quota that its prototype is the mean of."""
    overlap: bool = True
    """Whether several clusters may claim the same image."""
    balance: Balance = Field("equal", exclude_if=lambda value: value == "equal")
    """`equal`: every cluster gets as many pseudo-labels; `none`: as many as the head's own clusters
    have images."""
    whiten: Positive | None = Field(None, exclude_if=lambda value: value is None)
    """Whiten the features first (`ops.whitening`), with this shrinkage; none as in the paper."""
    loss: Literal["double-softmax", "plain", "temperature"] = "double-softmax"
    temperature: Positive = 0.2
    entropy: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the entropy of the mean prediction, against empty clusters."""
    hidden: Count | None = None
    """Width of a head's hidden layer; none is the width of the features."""

    @model_validator(mode="after")
    def _fill(self) -> Self:
        if self.passes is None:
            object.__setattr__(self, "passes", {"code": 8, "paper": 1}[self.variant])
        if self.balance == "none" and not self.overlap:
            raise ValueError('`balance="none"` needs `overlap=true`')
        return self

    def together(self, clusters: int, images: int) -> int:
        """Return M for so many clusters and images."""
        return min(self.batch or LABELLED[self.variant] * clusters, images)
