"""A run's network for other programs: ONNX, and a program of `torch.export`."""

import json
import logging
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spice_cli.errors import InvalidError, MissingError, SpiceError
from spice_cli.run.curation import Edit, Merge
from spice_cli.run.files import replacing
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.assignments import newest
from spice_cli.stages.edits import has_splits
from spice_cli.stages.images import images_of
from spice_cli.stages.model import Model, OfUnitRows
from spice_cli.stages.placed import curation_of
from spice_cli.stages.restored import embedder_of, model_of
from spice_cli.track import Track

LOOKED_AT, TOLERANCE, BETWEEN = 256, 1e-4, 0.02
OUTPUTS = ("probs", "embedding", "cluster")
Outputs = tuple[Tensor, Tensor, Tensor]
CPU = torch.device("cpu")


class Exported(nn.Module):
    """Pixels (b, 3, s, s) in 0 to 1 to probabilities (b, k), unit features (b, d), clusters (b,).

    The clusters, int64, are those of the probabilities after the merges and splits of a person.
    """

    def __init__(self, model: Model, edits: tuple[Edit, ...], apart: Model | None) -> None:
        super().__init__()
        self.model, self.apart, self.edits = model, apart, edits
        for number, edit in enumerate(edits):
            if isinstance(edit, Merge):
                self.register_buffer(f"clusters{number}", torch.tensor(edit.clusters[1:]))
            else:
                self.register_buffer(f"parts{number}", torch.tensor(edit.parts))
                self.register_buffer(f"centers{number}", torch.tensor(edit.centers))

    def forward(self, pixels: Tensor) -> Outputs:
        """Say all three of each image."""
        probs, embedding = self.model(pixels)
        cluster = probs.argmax(1)
        rows = embedding if self.apart is None else self.apart(pixels)[1]
        for number, edit in enumerate(self.edits):
            if isinstance(edit, Merge):
                gone = (cluster[:, None] == self.get_buffer(f"clusters{number}")).any(1)
                cluster = torch.where(gone, edit.clusters[0], cluster)
            else:
                nearest = (rows @ self.get_buffer(f"centers{number}").T).argmax(1)
                part = self.get_buffer(f"parts{number}")[nearest]
                cluster = torch.where(cluster == edit.cluster, part, cluster)
        return probs, embedding, cluster


def exported(run: Run, stage: Stage | None, clusters: int | None) -> Exported:
    """Return a stage's network as it is exported: on the CPU, in float32; errors as `model_of`."""
    stage = stage or newest(run)
    model = model_of(run, CPU, stage=stage, clusters=clusters, fp32=True)
    edits, apart = curation_of(run, stage, clusters).edits, None
    if has_splits(edits) and not isinstance(model.head, OfUnitRows):
        apart = embedder_of(run, CPU, nn.Identity(), fp32=True)
    return Exported(model, edits, apart).eval().to(memory_format=torch.contiguous_format)


def to_program(run: Run, module: Exported, file: Path, track: Track) -> float:
    """Write what `torch.export.load` reads; return the largest difference from ours.

    Raises:
        InvalidError: it cannot be exported, or says something else than the network does.
    """
    with replacing(file) as partial, _quietly():
        program = _attempt("torch.export", lambda: _program(module))
        target = partial.with_name(f"{partial.name}.pt2")
        try:
            torch.export.save(program, target)
            again = torch.export.load(target).module()
            found = _difference(module, again, _pictures(run, module.model.side, track))
            target.replace(partial)
        finally:
            target.unlink(missing_ok=True)
        _judge(found, file)
    return found


def to_onnx(
    run: Run, module: Exported, file: Path, names: dict[int, str], track: Track
) -> float | None:
    """Write an ONNX model with a dynamic batch; return the largest difference from ours.

    That is None where there is no onnxruntime to find it with. Names of clusters and the side of
    an image are in the model's metadata, as `names` (JSON) and `side`.

    Raises:
        MissingError: the packages that write ONNX are not installed.
        InvalidError: it cannot be exported, or says something else than the network does.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError:
        raise MissingError(
            "ONNX needs packages that are not installed", hint="pip install 'spice-cli[onnx]'"
        ) from None
    with replacing(file) as partial, _quietly():
        program: Any = _attempt("ONNX", lambda: _onnx(module))
        proto = program.model_proto
        about = {"names": json.dumps(names), "side": str(module.model.side), "input": "RGB, 0 to 1"}
        onnx.helper.set_model_props(proto, about)
        onnx.save(proto, partial)
        session = _session(partial)
        if session is None:
            return None

        def again(pixels: Tensor) -> Outputs:
            out = session.run(list(OUTPUTS), {"pixels": pixels.numpy()})
            return tuple(map(torch.from_numpy, out))  # type: ignore[return-value]

        found = _difference(module, again, _pictures(run, module.model.side, track))
        _judge(found, file)
    return found


def _program(module: Exported) -> torch.export.ExportedProgram:
    example = (torch.rand(2, 3, module.model.side, module.model.side),)
    batch = torch.export.Dim("batch", min=1)
    with torch.no_grad():
        return torch.export.export(module, example, dynamic_shapes={"pixels": {0: batch}})


def _onnx(module: Exported) -> Any:
    return torch.onnx.export(
        _program(module),
        input_names=["pixels"],
        output_names=list(OUTPUTS),
        dynamo=True,
        verbose=False,
    )


def _session(file: Path) -> Any:
    try:
        import onnxruntime
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


@torch.no_grad()
def _difference(
    ours: Callable[[Tensor], Outputs], theirs: Callable[[Tensor], Outputs], images: Tensor
) -> float:
    """Return the largest difference of probabilities or features; infinite if clusters differ.

    One image goes by itself, the others together. A few may lie between two clusters.
    """
    worst, apart = 0.0, 0
    for part in filter(len, (images[:1], images[1:])):
        mine, other = ours(part), theirs(part)
        for one, two in zip(mine[:2], other[:2], strict=True):
            worst = max(worst, float((one - two).abs().max()))
        apart += int((mine[2] != other[2]).sum())
    return worst if apart <= BETWEEN * len(images) else math.inf


def _pictures(run: Run, side: int, track: Track) -> Tensor:
    """Return pixels (n, 3, side, side) of the run's images, or of noise where they are gone."""
    generator = torch.Generator().manual_seed(0)
    try:
        images = images_of(run, track.say).images
    except SpiceError:
        return torch.rand(LOOKED_AT, 3, side, side, generator=generator)
    rows = torch.randperm(len(images), generator=generator)[:LOOKED_AT]
    return images[rows].float() / 255


def _judge(found: float, file: Path) -> None:
    if not found <= TOLERANCE:
        raise InvalidError(
            f"`{file}` was not written: its outputs would differ from ours by {found:.1e}"
        )


def _attempt(what: str, export: Callable[[], Any]) -> Any:
    try:
        return export()
    except Exception as error:  # what exporters raise of layers they do not know is no fixed list
        lines = [line for line in str(error).splitlines() if line.strip()]
        reason = lines[0].strip() if lines else type(error).__name__
        raise InvalidError(f"this network cannot be exported to {what}: {reason}") from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep exporters from telling what they do."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logger.setLevel(before)
