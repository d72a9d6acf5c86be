"""Settings of `self-label`."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue, field_validator

from spice_cli.config.frozen import Count, Frozen, Positive, Precision
from spice_cli.config.views import Strong, Weak


class Space(Frozen):
    """Further features of the same images."""

    name: str
    """A run that has `embed`, or a `.safetensors` or `.npy` file of one row an image."""
    sha256: str | None = None
    """Of what is there; filled in."""


class SelfLabel(Frozen):
    """Clusters of the embeddings. Unknown keys are the method's own and end up in `settings`.

    The numbers below are those of `spice`; other methods have their own where none are given.
    """

    method: str = "spice"
    clusters: Annotated[int, Field(ge=2)] | None = None
    """None: as many as the data set declares classes."""
    heads: Count = 10
    epochs: Count = 100
    batch_size: Count = 128
    """Images an update."""
    lr: Positive = 0.005
    views: Literal["auto", "live", "cached", "plain"] = "auto"
    """`cached`: those that `embed --views` stored; `live`: new ones each epoch, through the
    backbone; `plain`: none, the embeddings themselves; `auto`: the first of these that can be,
    but never `live` through a backbone that others trained, which is large as a rule."""
    weak: Weak = Weak()
    strong: Strong = Strong()
    spaces: tuple[Space, ...] = ()
    """Further feature spaces, for methods that look at several."""
    precision: Precision = "auto"
    settings: dict[str, JsonValue] = Field({})

    @field_validator("spaces", mode="before")
    @classmethod
    def _named(cls, spaces: object) -> object:
        listed = [spaces] if isinstance(spaces, str) else spaces
        if not isinstance(listed, list | tuple):
            return listed
        return tuple({"name": each} if isinstance(each, str) else each for each in listed)
