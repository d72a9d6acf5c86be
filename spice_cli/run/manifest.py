"""What a run directory claims about itself. No torch here, so reading it is instant."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from spice_cli.config import DataSpec, Frozen

FORMAT = 1

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class Stage(StrEnum):
    """The stages that leave an artifact, in the order they run."""

    PRETRAIN = "pretrain"
    EMBED = "embed"
    SELF_LABEL = "self-label"
    SELECT_RELIABLE = "select-reliable"
    SEMI = "semi"


class Data(Frozen):
    """The images a run is about. The first `train` rows are trained on, the others only scored."""

    spec: DataSpec | None
    """None: the run began with embeddings made elsewhere and has no images."""
    name: str
    train: Annotated[int, Field(ge=1)]
    test: Annotated[int, Field(ge=0)] = 0
    size: int | None = None
    """Side of an image in pixels."""
    classes: int | None = None
    """How many the data set declares."""
    bad: tuple[str, ...] = ()
    """Files that could not be read and were skipped."""
    fingerprint: Sha256

    @property
    def protocol(self) -> str:
        """`whole` or `split`."""
        return self.spec.protocol if self.spec else "whole"


class TensorSpec(Frozen):
    """Shape and dtype of one stored tensor."""

    shape: tuple[int, ...]
    dtype: str


class Environment(Frozen):
    """What a stage ran on."""

    spice: str
    torch: str
    python: str
    device: str
    precision: str
    world_size: int = 1


class Record(Frozen):
    """One finished stage: the file it wrote, and what it was made from."""

    file: FileName
    sha256: Sha256
    tensors: dict[str, TensorSpec]
    config: dict[str, JsonValue]
    """The full resolved config; for a file made elsewhere, `{"from": name}`."""
    inputs: dict[str, Sha256]
    """Hashes of the stages it read, and of the images under `data`."""
    seed: int
    environment: Environment
    seconds: Annotated[float, Field(ge=0)]
    """Wall time, over all attempts."""
    finished: datetime


class Recipe(Frozen):
    """The settings that the run's stages take unless flags say otherwise."""

    name: str
    sections: dict[str, dict[str, JsonValue]] = {}


class Manifest(Frozen):
    """The whole run."""

    format: Literal[1] = FORMAT
    data: Data
    recipe: Recipe
    seed: int = 0
    stages: dict[Stage, Record] = {}
