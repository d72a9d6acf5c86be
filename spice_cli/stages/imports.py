"""`--from FILE`: tensors made elsewhere become a stage's output."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from spice_cli.config import Frozen, Pretrain
from spice_cli.errors import InvalidError, MissingError, UsageError
from spice_cli.run.files import sha256
from spice_cli.run.manifest import Data, Stage
from spice_cli.run.store import Run
from spice_cli.stages.backbone import build, fill, image_size
from spice_cli.stages.perform import environment
from spice_cli.track import Track

IGNORED = -100
"""The label of an image without one, in the reference's label files."""


def read(file: Path) -> dict[str, Tensor]:
    """Read a `.safetensors` file, or the one array of an `.npy` file under the name ``""``."""
    if not file.is_file():
        raise MissingError(f"there is no file `{file}`")
    try:
        if file.suffix == ".npy":
            array = np.load(file, allow_pickle=False)
            if array.dtype.kind not in "fiu":
                raise InvalidError(f"`{file}` holds {array.dtype}, not numbers")
            array = array.astype(array.dtype.newbyteorder("="))
            return {"": torch.from_numpy(np.ascontiguousarray(array))}
        return dict(load_file(file))
    except (SafetensorError, ValueError, OSError, EOFError) as error:
        raise InvalidError(
            f"`{file}` cannot be read: {str(error).splitlines()[0]}",
            hint="`--from` takes `.safetensors` and `.npy`",
        ) from None


def embeddings_of(file: Path) -> dict[str, Tensor]:
    """Read embeddings (n, d) made elsewhere, scaled to unit rows."""
    tensors = read(file)
    if "" in tensors:
        tensors = {"embeddings": tensors[""]}
    found = tensors.get("embeddings")
    if found is None:
        raise InvalidError(
            f"`{file}` has no tensor `embeddings`, only {', '.join(f'`{k}`' for k in tensors)}"
        )
    if found.ndim != 2 or len(found) < 2 or not found.shape[1]:
        raise InvalidError(f"`embeddings` in `{file}` is {tuple(found.shape)}, not (n, d)")
    kept = {k: v for k, v in tensors.items() if k in {"embeddings", "weak", "strong"}}
    out = {}
    for name, tensor in kept.items():
        rows = tensor.float()
        if not bool(rows.isfinite().all()):
            raise InvalidError(f"`{name}` in `{file}` has values that are not finite")
        if not bool(rows.norm(dim=-1).gt(0).all()):
            raise InvalidError(f"`{name}` in `{file}` has rows of zeros, which have no direction")
        out[name] = F.normalize(rows, dim=-1)
    return out


def describe_embeddings(file: Path) -> Data:
    """Return what a manifest records of a run that begins with embeddings."""
    return Data(
        spec=None,
        name=file.stem,
        train=len(embeddings_of(file)["embeddings"]),
        fingerprint=sha256(file),
    )


def adopt(run: Run, stage: Stage, file: Path, config: Frozen, *, seed: int, track: Track) -> None:
    """Check a file made elsewhere and record it as what the stage left."""
    convert = {
        Stage.PRETRAIN: _weights,
        Stage.EMBED: lambda file, run, config: embeddings_of(file),
        Stage.SELF_LABEL: _probs,
        Stage.SELECT_RELIABLE: _reliable,
        Stage.SEMI: _probs,
    }[stage]
    tensors: dict[str, Tensor] = convert(file, run, config)
    run.write(
        stage,
        tensors,
        config={
            **(config.model_dump(mode="json") if stage is Stage.PRETRAIN else {}),
            "from": {"name": str(file.resolve()), "sha256": sha256(file)},
        },
        inputs=run.inputs(),
        seed=seed,
        environment=environment(torch.device("cpu"), "fp32"),
        seconds=0.0,
        imported=True,
    )
    track.say(f"`{stage}` taken from {file}")


def _weights(file: Path, run: Run, config: Pretrain) -> dict[str, Tensor]:
    tensors = read(file)
    if not any(name.startswith("backbone.") for name in tensors):
        tensors = {f"backbone.{name}": tensor for name, tensor in tensors.items()}
    tensors = {k: v for k, v in tensors.items() if k.startswith("backbone.")}
    fill(build(config.backbone, config, image_size(run)), tensors, "backbone.")
    return tensors


def _probs(file: Path, run: Run, config: Any) -> dict[str, Tensor]:
    tensors = read(file)
    if "" in tensors:
        tensors = {"probs": tensors[""].float()}
    if "probs" not in tensors:
        raise InvalidError(f"`{file}` has no tensor `probs`")
    return tensors


def _reliable(file: Path, run: Run, config: Any) -> dict[str, Tensor]:
    """Take `index` and `label`, or the reference's vector with -100 for images without a label."""
    tensors = read(file)
    if "" not in tensors:
        return tensors
    vector, train = tensors[""], run.manifest.data.train
    if vector.shape != (train,):
        raise InvalidError(
            f"`{file}` is {tuple(vector.shape)}, but the run trains on {train} images"
        )
    label = vector.long()
    if not bool((label == vector).all()):
        raise InvalidError(f"`{file}` must hold whole numbers, {IGNORED} where there is no label")
    index = (label != IGNORED).nonzero()[:, 0]
    if not len(index):
        raise UsageError(f"`{file}` labels no image")
    return {"index": index, "label": label[index]}
