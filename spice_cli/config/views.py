"""How images are varied at random."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from spice_cli.config.frozen import Area, Frozen, Positive, Share


class Views(Frozen):
    """The two random views of contrastive pretraining (MoCo v2's and SimCLR's)."""

    size: Annotated[int, Field(ge=4)] | None = None
    """Side of a view in pixels; none is the image's own."""
    crop: tuple[Area, Area] = (0.2, 1.0)
    """Share of the image's area that a crop keeps."""
    ratio: tuple[Positive, Positive] = (3 / 4, 4 / 3)
    flip: Share = 0.5
    rotate: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Largest rotation in degrees, either way."""
    brightness: Annotated[float, Field(ge=0)] = 0.4
    contrast: Annotated[float, Field(ge=0)] = 0.4
    saturation: Annotated[float, Field(ge=0)] = 0.4
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    jitter: Share = 0.8
    """How often the four colour changes above are applied."""
    gray: Share = 0.2
    blur: Share = 0.5
    blur_sigma: tuple[Positive, Positive] = (0.1, 2.0)

    @field_validator("crop", "ratio", "blur_sigma")
    @classmethod
    def _ordered(cls, pair: tuple[float, float]) -> tuple[float, float]:
        if pair[0] > pair[1]:
            raise ValueError("the lower bound comes first")
        return pair


class Weak(Frozen):
    """Weak views: shifted by up to `pad` pixels, mirrored with probability `flip`."""

    pad: Annotated[int, Field(ge=0)] = 4
    flip: Share = 0.5


class Strong(Frozen):
    """Strong views: `operations` of RandAugment's fourteen, then one square cut out."""

    policy: Literal["scan", "fixmatch"] = "scan"
    """Magnitudes: SCAN's (shear and shift up to .1) or FixMatch's (up to .3)."""
    operations: Annotated[int, Field(ge=0)] = 4
    cutout: Share = 0.5
    """Largest side of the square, as a share of the image's side."""
    pad: Annotated[int, Field(ge=0)] = 0
    flip: Share = 0.5
