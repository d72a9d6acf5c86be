"""What a run directory claims about itself. No torch here, so reading it is instant."""

from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    Field,
    JsonValue,
    ValidationError,
    model_validator,
)

from spice_cli.config.data import DataSpec
from spice_cli.config.frozen import Frozen

FORMAT: Final = 1

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _beside(name: str) -> str:
    if name in ("", ".", "..") or set(name) & set("/\\\0"):
        raise ValueError("it is no plain name")
    return name


DirectoryName = Annotated[str, AfterValidator(_beside)]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]


class Stage(StrEnum):
    """The stages that leave an artifact, in the order they run."""

    PRETRAIN = "pretrain"
    EMBED = "embed"
    SELF_LABEL = "self-label"
    SELECT_RELIABLE = "select-reliable"
    SEMI = "semi"
    ASK = "ask"
    """Of a person's answers; no part of `spice run`."""


class Data(Frozen):
    """The images a run is about. The first `train` rows are trained on, the others only scored."""

    spec: DataSpec | None
    """None: the run began with embeddings made elsewhere and has no images."""
    name: str
    train: Annotated[int, Field(ge=1)]
    test: Annotated[int, Field(ge=0)] = 0
    unlabelled: Annotated[int, Field(ge=0)] = 0
    """Further images, which only `pretrain` sees."""
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
    deterministic: bool = Field(default=False, exclude_if=lambda value: not value)


class Family(Frozen):
    """What a record's `from` holds where the stage was made of the same stage of several runs."""

    members: Annotated[dict[DirectoryName, Sha256], Field(min_length=1)]
    """The artifact of each, by the name of its run's directory beside this one."""


class Record(Frozen):
    """One finished stage: the file it wrote, and what it was made from."""

    file: FileName
    sha256: Sha256
    size: Annotated[int, Field(ge=0)]
    """Bytes of the file."""
    tensors: dict[str, TensorSpec]
    config: dict[str, JsonValue]
    """The full resolved config; for a file made elsewhere, where it came from."""
    asked: dict[str, JsonValue] = Field(default_factory=dict)
    """Those of its settings that flags gave, beside what the recipe says."""
    inputs: dict[str, Sha256]
    """Hashes of the stages it read, and of the images under `data`."""
    seed: int
    environment: Environment
    seconds: Annotated[float, Field(ge=0)]
    """Wall time, over all attempts."""
    finished: AwareDatetime
    imported: bool = False
    """Whether another program made it; then the parts that only `spice` needs may be missing."""

    @model_validator(mode="after")
    def _no_runs_elsewhere(self) -> Self:
        source = self.config.get("from")
        if isinstance(source, dict) and "members" in source and self.family is None:
            raise ValueError("`from` names no runs beside it")
        return self

    @property
    def family(self) -> Family | None:
        """Which runs it was made of; none where it was not made of runs."""
        try:
            return Family.model_validate(self.config.get("from"))
        except ValidationError:
            return None


class Recipe(Frozen):
    """The settings that the run's stages take unless flags say otherwise."""

    name: str
    sections: dict[str, dict[str, JsonValue]] = Field(default_factory=dict)
    reasons: tuple[str, ...] = Field(default=(), exclude_if=lambda value: not value)
    """Why, where `spice run` picked the settings itself."""
    minutes: float | None = Field(default=None, exclude_if=lambda value: value is None)
    """The time that it picked them for."""
    until: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """The last stage, where that is not `semi`."""


class Manifest(Frozen):
    """The whole run."""

    format: Literal[1] = FORMAT
    data: Data
    recipe: Recipe
    seed: int = 0
    stages: dict[Stage, Record] = Field(default_factory=dict)
    check: str | None = Field(default=None, exclude=True)
    """The hash of all the above as it was written (`run/seal.py`); none where it was edited."""

    @model_validator(mode="after")
    def _stages_are_in_order(self) -> Self:
        order = [str(stage) for stage in Stage]
        for stage, record in self.stages.items():
            if record.file != f"{stage}.safetensors":
                raise ValueError(f"`{stage}` is in `{stage}.safetensors`, never in another file")
            for name in record.inputs:
                if name != "data" and name not in order[: order.index(stage)]:
                    raise ValueError(f"`{name}` cannot be an input of `{stage}`")
        return self
