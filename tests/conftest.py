import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

os.environ["OMP_NUM_THREADS"] = "1"
os.environ.pop("SPICE_RUN", None)
TINY = Path(__file__).parent / "tiny.toml"
Spice = Callable[..., Any]


@pytest.fixture(scope="session", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test leaves anything in the home of the person who runs it."""
    os.environ["SPICE_DATA"] = str(tmp_path_factory.mktemp("home"))


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has a directory of its own to stand in, and one thread."""
    import torch

    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def call(*args: object, code: int = 0, input: str | None = None) -> Any:
    """Run a command in this process; a traceback, or another exit code, fails the test."""
    from typer.testing import CliRunner

    from spice_cli.cli import app

    result = CliRunner().invoke(app, [str(arg) for arg in args], input=input)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def in_threads(world: int, work: Callable[[int, Callable[..., Any]], Any]) -> list[Any]:
    """Call `work` with a rank and what gathers rows of all ranks, once a rank."""
    import torch

    barrier, held = Barrier(world, timeout=60), [torch.empty(0)] * world

    def process(rank: int) -> Any:
        def gather(rows: torch.Tensor) -> torch.Tensor:
            held[rank] = rows.clone()
            barrier.wait()
            everything = torch.cat(held)
            barrier.wait()
            return everything

        try:
            return work(rank, gather)
        except BaseException:
            barrier.abort()
            raise

    with ThreadPoolExecutor(world) as pool:
        return list(pool.map(process, range(world)))


@pytest.fixture(scope="session")
def together() -> Callable[..., list[Any]]:
    """Several processes that compute one thing, which are threads here."""
    return in_threads


@pytest.fixture(scope="session")
def stretches() -> Callable[..., list[Any]]:
    """Such processes, each called with its own stretch of rows."""
    from spice_cli.ops.stretch import Stretch

    def processes(world: int, work: Callable[[Stretch], Any]) -> list[Any]:
        def process(rank: int, gather: Callable[..., Any]) -> Any:
            def add(tensors: list[Any]) -> None:
                for tensor in tensors:
                    tensor.copy_(gather(tensor[None]).sum(0))

            def first(tensors: list[Any]) -> None:
                for tensor in tensors:
                    tensor.copy_(gather(tensor[None])[0])

            return work(Stretch(rank, world, gather, add, first))

        return in_threads(world, process)

    return processes


@pytest.fixture(scope="session")
def spice() -> Spice:
    return call


@pytest.fixture(scope="session")
def tiny() -> Path:
    """A recipe that takes digits through all stages in seconds."""
    return TINY


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on digits, not to be written to."""
    import torch

    torch.set_num_threads(1)
    path = tmp_path_factory.mktemp("finished") / "run"
    call("run", "digits", "--recipe", TINY, "-r", path, "--checkpoint-seconds", 0)
    return path


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A finished run on digits to do with as a test likes."""
    return shutil.copytree(finished, tmp_path / "r")


@pytest.fixture
def forget() -> Callable[..., Path]:
    """Take stages out of a run, as if they had never been."""

    def without(run: Path, *stages: str) -> Path:
        file = run / "run.json"
        manifest = json.loads(file.read_text())
        manifest.pop("check", None)
        for stage in stages:
            del manifest["stages"][stage]
            (run / f"{stage}.safetensors").unlink()
            (run / f"{stage}.jsonl").unlink(missing_ok=True)
        file.write_text(json.dumps(manifest))
        return run

    return without


@pytest.fixture
def digests() -> Callable[[Path], dict[str, str]]:
    """Hash every artifact of a run."""
    import hashlib

    def of(run: Path) -> dict[str, str]:
        files = sorted(run.glob("*.safetensors"))
        return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

    return of


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int | str]:
    """What reaches the disk from now on: inodes of files that are synced, names renamed to."""
    events: list[int | str] = []
    sync, replace = os.fsync, os.replace

    def syncing(number: int) -> None:
        events.append(os.fstat(number).st_ino)
        sync(number)

    def replacing(source: Any, target: Any) -> None:
        events.append(Path(target).name)
        replace(source, target)

    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(os, "replace", replacing)
    return events


@pytest.fixture
def clustered(tmp_path: Path) -> Path:
    """A run of 4 groups of 30 rows and no images, made in no time.

    Clusters 0 to 2 are groups; group 3 was taken for half of cluster 1, not as surely.
    """
    import torch
    import torch.nn.functional as F

    from spice_cli.run.manifest import Data, Environment, Recipe, Stage
    from spice_cli.run.store import Run

    g = torch.Generator().manual_seed(0)
    group = torch.arange(4).repeat_interleave(30)
    rows = F.normalize(torch.eye(8)[group] + 0.1 * torch.randn(120, 8, generator=g), dim=1)
    probs = torch.full((120, 4), 0.01)
    probs[torch.arange(120), torch.tensor([0, 1, 2, 1])[group]] = 0.97
    probs[group == 3] = torch.tensor([0.1, 0.5, 0.1, 0.3])
    data = Data(spec=None, name="rows", train=120, classes=4, fingerprint="a" * 64)
    run = Run.create(tmp_path / "clustered", data, Recipe(name="none"), seed=0)
    where = Environment(spice="0", torch="2", python="3", device="cpu", precision="fp32")
    for stage, reads, tensors in (
        (Stage.EMBED, (), {"embeddings": rows}),
        (Stage.SELF_LABEL, (Stage.EMBED,), {"probs": probs}),
    ):
        run.write(
            stage,
            tensors,
            config={},
            inputs=run.inputs(*reads),
            seed=0,
            environment=where,
            seconds=0,
            imported=True,
        )
    return run.path
