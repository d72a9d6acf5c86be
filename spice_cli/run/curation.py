"""What a person decided about a run's clusters: their names, and which belong together or apart.

Kept in `curation.json` beside the manifest, for each result by its hash: another result's clusters
are others, whatever their numbers.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from spice_cli.config.frozen import Frozen
from spice_cli.errors import InvalidError
from spice_cli.run.files import naming, quoted, write_text
from spice_cli.run.manifest import Sha256

FILE = "curation.json"
MOST = 1_000_000
Id = Annotated[int, Field(ge=0, lt=MOST)]


class Merge(Frozen):
    """Clusters that became one, which keeps the first one's number."""

    kind: Literal["merge"] = "merge"
    clusters: Annotated[tuple[Id, ...], Field(min_length=2)]


class Split(Frozen):
    """A cluster that fell into parts, each nearest to a centre of its own."""

    kind: Literal["split"] = "split"
    cluster: Id
    parts: Annotated[tuple[Id, ...], Field(min_length=2)]
    """Numbers of the parts; the first is the cluster's own."""
    centers: tuple[Annotated[tuple[float, ...], Field(min_length=1)], ...]
    """(parts, d) unit vectors in the space of the embeddings."""

    @model_validator(mode="after")
    def _a_centre_each(self) -> Self:
        if len(self.centers) != len(self.parts) or len({*map(len, self.centers)}) > 1:
            raise ValueError("there must be one centre a part, all of one width")
        return self


Edit = Annotated[Merge | Split, Field(discriminator="kind")]


class Curation(Frozen):
    """All of it, for the clusters of one artifact."""

    of: Sha256
    edits: tuple[Edit, ...] = ()
    """In the order in which they were made."""
    names: dict[Id, Annotated[str, Field(min_length=1, max_length=200)]] = Field(
        default_factory=dict
    )


class _Curations(Frozen):
    results: tuple[Curation, ...] = ()


def load_curation(run: Path, of: str) -> Curation:
    """Read what was decided about the clusters of artifact `of`; nothing where that is nothing.

    Raises InvalidError where the file is damaged.
    """
    found = [each for each in _load(run).results if each.of == of]
    return found[0] if found else Curation(of=of)


def only_others(run: Path, of: str) -> bool:
    """Tell whether something was decided, but all of it about other results than `of`."""
    results = _load(run).results
    return bool(results) and all(each.of != of for each in results)


def save_curation(run: Path, curation: Curation) -> None:
    """Write it beside what was decided about other results."""
    others = tuple(each for each in _load(run).results if each.of != curation.of)
    kept = others if not curation.edits and not curation.names else (*others, curation)
    write_text(run / FILE, _Curations(results=kept).model_dump_json(indent=2) + "\n")


def _load(run: Path) -> _Curations:
    file = run / FILE
    if not file.exists():
        return _Curations()
    try:
        with naming(file, "read"):
            return _Curations.model_validate_json(file.read_bytes())
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"])) or "it"
        raise InvalidError(
            f"`{file}` is not a curation: `{where}`: {fault['msg'].lower()}",
            hint=f"put it aside: mv {quoted(file)} {quoted(file)}.old",
        ) from None
