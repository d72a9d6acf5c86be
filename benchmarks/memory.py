"""What each stage holds at its peak, beside what `spice run --dry-run` says of it.

Every stage is performed in a process of its own with one thread, on a run that another process
made. The peak is the kernel's (`VmHWM`): all pages that the process had in memory at once, those of
mapped files too. Less what it had after the imports, that is what the stage took, and some 50 MB of
the libraries themselves, which it touched again. Of all stages here only `embed` maps a file, its
rows, all of which a peak counts. One alone:

python -m benchmarks.memory embed:20000
"""

import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch._dynamo  # which training loads: it belongs to the process
import torch.nn.functional as F
from torch import Tensor

from spice_cli.catalog import STAGES
from spice_cli.config.data import DataSpec
from spice_cli.config.frozen import Frozen
from spice_cli.errors import CollapsedError
from spice_cli.ops.costs import image_bytes
from spice_cli.ops.held import evaluating
from spice_cli.run.manifest import Recipe, Stage
from spice_cli.run.store import Run
from spice_cli.settings.configs import stage_config
from spice_cli.stages import pace
from spice_cli.stages.backbone import build
from spice_cli.stages.evaluate import Choices, evaluate
from spice_cli.stages.images import describe
from spice_cli.stages.lines import Line
from spice_cli.stages.look import PROCESS, Look
from spice_cli.stages.perform import environment, perform
from spice_cli.track import Silent

SIDE, WIDTH, D, CLUSTERS, VIEWS = 8, 16, 64, 10, 2
SIZES = (20_000, 60_000)
CPU = torch.device("cpu")
PRETRAIN = {"method": "simclr", "backbone": "small", "width": WIDTH, "compile": "off"}


@dataclass(frozen=True)
class Case:
    """A stage, and settings of it."""

    stage: str
    settings: dict[str, Any] = field(default_factory=dict)
    views: int = 0
    """That `embed` stored before."""


CASES = {
    "pretrain-simclr": Case("pretrain", {**PRETRAIN, "epochs": 1, "batch_size": 256}),
    "pretrain-moco": Case("pretrain", {**PRETRAIN, "method": "moco", "epochs": 1}),
    "embed": Case("embed", {"views": VIEWS, "flip": True}),
    "self-label-spice": Case("self-label", {"epochs": 1}, VIEWS),
    "self-label-scan": Case("self-label", {"method": "scan", "epochs": 1}, VIEWS),
    "self-label-kmeans": Case("self-label", {"method": "kmeans"}),
    "self-label-graph": Case("self-label", {"method": "graph"}),
    "self-label-gmm": Case("self-label", {"method": "gmm"}),
    "self-label-temi": Case("self-label", {"method": "temi", "heads": 10, "epochs": 1}),
    "self-label-turtle": Case("self-label", {"method": "turtle", "epochs": 3}),
    "select-exact": Case("select-reliable"),
    "select-ivf": Case("select-reliable", {"index": "ivf"}),
    "semi": Case("semi", {"steps": 5, "compile": "off"}),
    "evaluate": Case("evaluate"),
}


def bench() -> str:
    """Measure every stage at every size."""
    torch.set_num_threads(1)
    lines = ["| what | images | peak MiB | stated MiB |", "|---|---|---|---|"]
    for name in CASES:
        for n in SIZES:
            found = measured(name, n)
            peak, stated = (f"{found[key] / 2**20:,.0f}" for key in ("peak", "stated"))
            lines.append(f"| {name} | {n:,} | {peak} | {stated} |")
    return "\n".join(lines)


def measured(name: str, n: int) -> dict[str, int]:
    """Return the bytes that a stage took of a process, and those that are stated."""
    case = CASES[name]
    with tempfile.TemporaryDirectory() as folder:
        _apart(prepare, case, n, Path(folder))
        return {**_apart(stated, case, Path(folder)), **_apart(hold, case, Path(folder))}


def _apart(work: Callable[..., dict[str, int]], *given: object) -> dict[str, int]:
    """Call a function in a copy of this process, whose peak begins with what it has then."""
    ours, theirs = os.pipe()
    if not (child := os.fork()):
        try:
            os.write(theirs, json.dumps(work(*given)).encode())
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(1)
    os.close(theirs)
    with os.fdopen(ours) as stream:
        found = stream.read()
    if os.waitpid(child, 0)[1]:
        raise SystemExit(f"{work.__name__} failed")
    return dict(json.loads(found))


def prepare(case: Case, n: int, folder: Path) -> dict[str, int]:
    """Make a run of n images that has all stages before one."""
    generator = torch.Generator().manual_seed(0)
    cluster = torch.arange(n) % CLUSTERS
    images = np.random.default_rng(0).integers(256, size=(n, 3, SIDE, SIDE), dtype=np.uint8)
    np.savez(folder / "x.npz", images=images, labels=cluster.numpy())
    data = describe(DataSpec(name=str(folder / "x.npz")), lambda text: None)
    run = Run.create(folder / "run", data, Recipe(name="memory"), 0)
    backbone = build("small", stage_config("pretrain", PRETRAIN, {}), SIDE)

    def rows(*more: int) -> Tensor:
        centres = F.normalize(torch.randn(CLUSTERS, D, generator=generator))
        found = torch.empty(*more, n, D)
        for part in found.view(-1, n, D):
            part.copy_(torch.randn(n, D, generator=generator) / 12).add_(centres[cluster])
        return F.normalize(found, dim=-1, out=found)

    probs = torch.full((n, CLUSTERS), 0.001)
    probs[torch.arange(n), cluster] += 1 - 0.001 * CLUSTERS
    views = {"weak": rows(case.views), "strong": rows(case.views)} if case.views else {}
    left: dict[str, dict[str, Tensor]] = {
        "pretrain": {f"backbone.{name}": each for name, each in backbone.state_dict().items()},
        "embed": {"embeddings": rows(), **views},
        "self-label": {"heads.x": torch.zeros(1), "losses": torch.zeros(1), "probs": probs},
        "select-reliable": {
            "index": torch.arange(n // 2),
            "label": cluster[: n // 2],
            "consistency": torch.ones(n),
        },
        "semi": {"model.x": torch.zeros(1), "probs": probs},
    }
    reads = {"pretrain": (), "embed": ("pretrain",), "self-label": ("embed",)}
    for name, tensors in left.items():
        if name == case.stage:
            break
        config: Any = stage_config(name, PRETRAIN, {}) if name == "pretrain" else Frozen()
        run.write(
            Stage(name),
            tensors,
            config=config.model_dump(mode="json"),
            inputs=run.inputs(*map(Stage, reads.get(name, ("embed", "self-label")))),
            seed=0,
            environment=environment(CPU, "fp32"),
            seconds=0.0,
        )
    return {}


def hold(case: Case, folder: Path) -> dict[str, int]:
    """Perform a stage; return the bytes that it took, and the milliseconds of processor time."""
    before, run, started = _status("VmRSS"), Run.open(folder / "run"), time.process_time()
    if case.stage == "evaluate":
        evaluate(run, Choices(), Silent())
    else:
        given = {"clusters": CLUSTERS} if case.stage == "self-label" else {}
        config: Any = stage_config(case.stage, case.settings, given)
        with suppress(CollapsedError):  # which random weights may be, once all is computed
            perform(run, Stage(case.stage), config, seed=0, device=CPU, track=Silent())
    spent = round(1000 * (time.process_time() - started))
    return {"peak": _status("VmHWM") - before, "milliseconds": spent}


def stated(case: Case, folder: Path) -> dict[str, int]:
    """Return the bytes that `--dry-run` says a stage takes beside the process."""
    configs = {name: stage_config(name, {}, {}) for name in STAGES}
    configs["pretrain"] = stage_config("pretrain", PRETRAIN, {})
    configs["embed"] = stage_config("embed", {"views": case.views}, {})
    run = Run.open(folder / "run")
    if case.stage not in STAGES:
        n = run.manifest.data.train
        return {"stated": evaluating(n, D, CLUSTERS) + image_bytes(n, SIDE)}
    pace.timed = _untimed
    configs[case.stage] = stage_config(case.stage, case.settings, {})
    look = Look(run, configs, CLUSTERS, CPU, None)
    return {"stated": look.at(Line(case.stage, "to do")).memory - PROCESS}


def _untimed(work: Callable[[], object], device: torch.device, *, warm: bool = True) -> pace.Timed:
    """Do some work once, if only for what is counted of it."""
    if warm:
        work()
    return pace.Timed(1, 1, 1)


def _status(name: str) -> int:
    text = Path("/proc/self/status").read_text()
    return 1024 * int(text.split(f"{name}:")[1].split()[0])


def main() -> None:
    """Measure some stages at some sizes, and say so in JSON."""
    torch.set_num_threads(1)
    for name, n in (each.split(":") for each in sys.argv[1:]):
        print(json.dumps({"what": name, "images": int(n), **measured(name, int(n))}), flush=True)


if __name__ == "__main__":
    main()
