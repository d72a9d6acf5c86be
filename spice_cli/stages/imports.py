"""`--from FILE`: tensors made elsewhere become a stage's output."""

from collections.abc import Mapping
from pathlib import Path

import torch
from pydantic import JsonValue
from torch import Tensor

from spice_cli.config.frozen import Frozen
from spice_cli.config.pretrain import Pretrain
from spice_cli.data.spelling import text
from spice_cli.errors import InvalidError, UsageError
from spice_cli.run.files import quoted, sha256
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.arrays import embeddings_of, read
from spice_cli.stages.backbone import image_size
from spice_cli.stages.perform import environment
from spice_cli.stages.weights import Weights, backbone_tensors, find
from spice_cli.track import Track

IGNORED = -100
"""The label of an image without one, in the reference's label files."""
OWN = (("ours", "backbone."), ("ours", ""))
"""Where the network is in what a run's own `pretrain` left, with or without its prefix."""


def adopt(run: Run, stage: Stage, file: Path, config: Frozen, *, seed: int, track: Track) -> None:
    """Check a file made elsewhere and record it as what the stage left."""
    if stage is Stage.PRETRAIN:
        assert isinstance(config, Pretrain)
        adopt_backbone(run, find(file), config, seed=seed, track=track)
        return
    convert = {
        Stage.EMBED: _embeddings,
        Stage.SELF_LABEL: _probs,
        Stage.SELECT_RELIABLE: _reliable,
        Stage.SEMI: _probs,
    }[stage]
    _record(run, stage, file, convert(file, run), {}, seed=seed)
    track.say(f"`{stage}` taken from {file}")


def adopt_backbone(
    run: Run,
    weights: Weights,
    config: Pretrain,
    *,
    seed: int,
    track: Track,
    asked: Mapping[str, JsonValue] | None = None,
) -> None:
    """Record a network found in a file as what `pretrain` left; it must fit the config's backbone.

    What a run's own artifact holds beside it about as many images comes along. `asked` are the
    settings without which it would not fit.
    """
    n = run.manifest.data.train + run.manifest.data.test
    also = {
        name: weights.tensors[name]
        for name in ("projections", "probs")
        if (weights.network.layout, weights.network.prefix) in OWN
        and name in weights.tensors
        and weights.tensors[name].shape[:1] == (n,)
    }
    tensors = backbone_tensors(weights, config, image_size(run)) | also
    settings = config.model_dump(mode="json")
    _record(run, Stage.PRETRAIN, weights.file, tensors, settings, seed=seed, asked=asked)
    prefix = weights.network.prefix.removesuffix(".")
    left = weights.left_out(taken=also)
    track.say(
        f"`pretrain` taken from {weights.file}"
        + (f", the network under `{prefix}`" if prefix else "")
        + (f"; left out: {left}" if left else "")
    )


def _record(
    run: Run,
    stage: Stage,
    file: Path,
    tensors: Mapping[str, Tensor],
    config: Mapping[str, JsonValue],
    *,
    seed: int,
    asked: Mapping[str, JsonValue] | None = None,
) -> None:
    run.write(
        stage,
        tensors,
        config={**config, "from": {"name": text(file.resolve()), "sha256": sha256(file)}},
        asked=asked,
        inputs=run.inputs(),
        seed=seed,
        environment=environment(torch.device("cpu"), "fp32"),
        seconds=0.0,
        imported=True,
    )


def _embeddings(file: Path, run: Run) -> dict[str, Tensor]:
    tensors, data = embeddings_of(file), run.manifest.data
    rows, images = len(tensors["embeddings"]), data.train + data.test
    if rows != images:
        shape = tuple(tensors["embeddings"].shape)
        raise InvalidError(
            f"`embeddings` in `{file}` is {shape}, but `{run.path}` has {images} images",
            hint=f"a run of their own: spice embed --from {quoted(file)} "
            f"-r {quoted(run.path.with_name(file.stem))}",
        )
    return tensors


def _probs(file: Path, run: Run) -> dict[str, Tensor]:
    tensors = read(file)
    if "" in tensors:
        tensors = {"probs": tensors[""].float()}
    if "probs" not in tensors:
        raise InvalidError(f"`{file}` has no tensor `probs`")
    return tensors


def _reliable(file: Path, run: Run) -> dict[str, Tensor]:
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
