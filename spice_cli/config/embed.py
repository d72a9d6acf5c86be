"""Settings of `embed`."""

from typing import Annotated

from pydantic import Field

from spice_cli.config.frozen import Count, Frozen, Precision
from spice_cli.config.views import Strong, Weak


class Embed(Frozen):
    """Features of every image."""

    views: Annotated[int, Field(ge=0)] = 0
    """How many weak and how many strong views to store beside the plain embeddings."""
    weak: Weak = Weak()
    strong: Strong = Strong()
    flip: bool = False
    """Average the features of each image and its mirror image."""
    batch_size: Count = 512
    precision: Precision = "auto"
