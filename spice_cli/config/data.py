"""Which images a run is about."""

from typing import Annotated, Literal

from pydantic import Field

from spice_cli.config.frozen import Frozen


class DataSpec(Frozen):
    """Which images, and how they are split. Never which labels."""

    name: str
    """A name in the catalogue, or an absolute path."""
    root: str | None = None
    """Where downloads are kept, or the directory of ImageNet or Tiny-ImageNet."""
    test: str | None = None
    """The Parquet file that holds the test images, relative to the directory."""
    size: Annotated[int, Field(ge=4, le=1024)] | None = None
    """Side in pixels that images are resized to; none keeps a size that all images share."""
    protocol: Literal["whole", "split"] = "whole"
    """`whole`: train and evaluate on train and test together. `split`: train on train, evaluate on
    test."""
    skip_bad: bool = False
