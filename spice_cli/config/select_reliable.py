"""Settings of `select-reliable`."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from spice_cli.config.frozen import Frozen


class SelectReliable(Frozen):
    """Reliable samples. Unknown keys are the method's own, see `settings`."""

    method: str = "spice"
    index: Literal["auto", "exact", "ivf", "hnsw"] = "auto"
    """How neighbours are found. `ivf` and `hnsw` miss some and need faiss; they pay from some
    100,000 images. `auto` is `exact` up to 2,000,000, and `ivf` beyond."""
    min_per_cluster: Annotated[int, Field(ge=0)] = 0
    """Clusters that keep fewer than this take so many of their best members instead."""
    settings: dict[str, JsonValue] = Field({})
