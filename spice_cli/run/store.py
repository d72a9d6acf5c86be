"""Reading and writing a run directory. Torch is imported only where tensors are moved."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from filelock import FileLock
from pydantic import JsonValue
from pydantic_core import to_jsonable_python

from spice_cli.errors import InvalidError, MissingError
from spice_cli.run import artifact, files, mend, schema, stale, standing
from spice_cli.run.axes import axes
from spice_cli.run.load import load_manifest
from spice_cli.run.lock import LOCK, holding
from spice_cli.run.manifest import Data, Environment, Manifest, Recipe, Record, Stage
from spice_cli.run.same import check_same
from spice_cli.run.seal import MANIFEST, SPARE, check_sole, save_sealed, seal_of, text_of
from spice_cli.run.standing import State

if TYPE_CHECKING:
    from torch import Tensor


class Run:
    """A run directory: one `<stage>.safetensors` a finished stage, and `run.json`, written last."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self._lock = FileLock(path / LOCK)
        self._seal: str | None = None

    @classmethod
    def create(cls, path: Path, data: Data, recipe: Recipe, seed: int) -> Self:
        """Start a run, or reopen one on the same images, which keeps its own recipe and seed.

        Raises:
            InvalidError: the run there is on other images, or they changed since.
        """
        if not any((path / name).exists() for name in (MANIFEST, SPARE)):
            run = cls(path, Manifest(data=data, recipe=recipe, seed=seed))
            text_of(run.manifest.model_dump(mode="json"))
            with files.naming(path):
                path.mkdir(parents=True, exist_ok=True)
            with run.lock():
                run._save(run.manifest)
        run = cls.open(path)
        check_same(path, run.manifest.data, data)
        return run

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open an existing run; errors as in `load_manifest`."""
        return cls(path, load_manifest(path))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the run's one writer; may be nested.

        What others finished in the meantime is taken in, and what a crash left is cleared away.
        Errors as in `holding`.
        """
        if self._lock.is_locked:
            yield
            return
        with holding(self._lock, self.path):
            if (self.path / MANIFEST).exists():
                self.manifest, self._seal = load_manifest(self.path), seal_of(self.path)
                artifact.settle(self.path, self.manifest)
            yield

    def record(self, stage: Stage) -> Record:
        """Look up a finished stage.

        Raises:
            MissingError: it has not finished yet.
        """
        if (record := self.manifest.stages.get(stage)) is None:
            raise MissingError(
                f"`{self.path}` has no `{stage}` yet",
                hint=f"spice {stage} -r {files.quoted(self.path)}",
            )
        return record

    def read(self, stage: Stage, *names: str) -> "dict[str, Tensor]":
        """Load what a finished stage left, or only the tensors named; all bytes are verified.

        Raises:
            MissingError: the stage has not finished yet.
            InvalidError: it is stale, or its file is gone, changed or not as the schema asks.
        """
        record = self.record(stage)
        if reason := self.stale_because(stage):
            stages = stale.to_mend(self.manifest, stage) or [stage]
            hint = " && ".join(self.command(each) for each in stages)
            raise InvalidError(f"`{stage}` in `{self.path}` is stale: {reason}", hint=hint)
        file = artifact.locate(self.path, record)
        sizes = axes(self.manifest, stage, record.inputs)
        try:
            return artifact.load_artifact(file, stage, record, axes=sizes, names=names)
        except InvalidError as error:
            raise InvalidError(str(error), hint=self.command(stage, force=True)) from error

    def write(
        self,
        stage: Stage,
        tensors: "Mapping[str, Tensor]",
        *,
        config: Mapping[str, Any],
        inputs: Mapping[str, str],
        seed: int,
        environment: Environment,
        seconds: float,
        asked: Mapping[str, JsonValue] | None = None,
        imported: bool = False,
    ) -> Record:
        """Store a finished stage and discard its checkpoint.

        Killed at any moment, the run holds either the old result whole or the new one.

        Raises:
            InvalidError: the tensors are not as the schema asks, or cannot be written.
        """
        from spice_cli.run.tensors import save, spec

        sizes = axes(self.manifest, stage, inputs)
        schema.check(stage, tensors, axes=sizes, imported=imported)
        file = artifact.artifact_file(self.path, stage)
        with self.lock():
            check_sole(self.path, self._seal)
            artifact.settle(self.path, self.manifest)
            with files.replacing(file) as partial:
                sha256, size = save(partial, tensors, {"stage": stage.value})
                check_sole(self.path, self._seal)
                if stage in self.manifest.stages and file.exists():
                    file.replace(artifact.aside(file))
            record = Record(
                file=file.name,
                sha256=sha256,
                size=size,
                tensors={name: spec(tensor) for name, tensor in tensors.items()},
                config=to_jsonable_python(config),
                asked=dict(asked or {}),
                inputs=dict(inputs),
                seed=seed,
                environment=environment,
                seconds=seconds,
                finished=datetime.now(UTC),
                imported=imported,
            )
            stages = {**self.manifest.stages, stage: record}
            ordered = {each: stages[each] for each in Stage if each in stages}
            self._save(self.manifest.model_copy(update={"stages": ordered}))
            files.remove(artifact.aside(file))
            files.remove(artifact.checkpoint_file(self.path, stage))
            with suppress(InvalidError):  # NFS: not while they are mapped; the next command will
                files.remove_folder(artifact.rows_folder(self.path, stage))
        return record

    def change(
        self, *, recipe: Recipe | None = None, seed: int | None = None, dry: bool = False
    ) -> None:
        """Change the recipe or the seed that stages take from now on; `dry`: only in memory."""
        given = {"recipe": recipe, "seed": seed}
        update = {key: value for key, value in given.items() if value is not None}
        if dry:
            self.manifest = self.manifest.model_copy(update=update)
        elif any(getattr(self.manifest, key) != value for key, value in update.items()):
            with self.lock():
                self._save(self.manifest.model_copy(update=update))

    def inputs(self, *stages: Stage) -> dict[str, str]:
        """Return the hashes of finished stages, and of the images under `data`."""
        hashes = {stage.value: self.record(stage).sha256 for stage in stages}
        return {"data": self.manifest.data.fingerprint, **hashes}

    def stale_because(self, stage: Stage) -> str | None:
        """Say which input of a finished stage changed since; none where it is current."""
        return standing.stale_because(self.path, self.manifest, stage)

    def state(self, stage: Stage, *, verify: bool = False) -> State:
        """Tell how a stage stands: from the size of its file, or with `verify` from its hash."""
        return standing.state(self.path, self.manifest, stage, verify=verify)

    def up_to_date(
        self, stage: Stage, config: Mapping[str, Any], inputs: Mapping[str, str], seed: int
    ) -> bool:
        """Tell whether running a stage again would leave what is there, and that is intact."""
        return standing.up_to_date(self.path, self.manifest, stage, config, inputs, seed)

    def command(self, stage: Stage, *, force: bool = False) -> str:
        """Spell what makes a stage anew, from what it was made of the last time."""
        return mend.command(self.path, self.manifest, stage, force=force)

    def _save(self, manifest: Manifest) -> None:
        check_sole(self.path, self._seal)
        self._seal, self.manifest = save_sealed(self.path, manifest), manifest
