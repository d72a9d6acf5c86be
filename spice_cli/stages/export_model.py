"""Writing a run's network for other programs: ONNX, and a program of `torch.export`."""

import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spice_cli.errors import InvalidError, MissingError
from spice_cli.run.files import replacing
from spice_cli.run.store import Run
from spice_cli.stages.export_check import difference, judge, pictures
from spice_cli.stages.exported import OUTPUTS, Exported, Outputs
from spice_cli.track import Track


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
            found = difference(module, again, pictures(run, module.model.side, track))
            target.replace(partial)
        finally:
            target.unlink(missing_ok=True)
        judge(found, file)
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

        found = difference(module, again, pictures(run, module.model.side, track))
        judge(found, file)
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
