import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from sklearn.datasets import load_digits

from spice_cli.ops.augment import plain
from spice_cli.ops.quality import mean_cosine, rankme
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.backbone import restore

Spice = Callable[..., Any]


def slow(run: Path, *, mirror: bool = False) -> torch.Tensor:
    """The first eight embeddings, one image at a time."""
    digits = torch.from_numpy(load_digits().images[:8])
    images = (digits * 255 / 16).round().byte()[:, None].repeat(1, 3, 1, 1)
    backbone = restore(Run.open(run), torch.device("cpu"))
    images = images.flip(-1) if mirror else images
    with torch.no_grad():
        return torch.cat([F.normalize(backbone(plain(image[None]))) for image in images])


def test_embeddings_are_the_unit_features_of_plain_images_in_order(
    spice: Spice, copied: Path
) -> None:
    spice("embed", "-r", copied, "--precision", "fp32", "--set", "batch_size=100")
    found = load_file(copied / "embed.safetensors")
    assert found.keys() == {"embeddings"}
    assert found["embeddings"].shape[0] == 1797
    torch.testing.assert_close(found["embeddings"][:8], slow(copied), atol=2e-3, rtol=0)


def test_flip_averages_with_the_mirror_image(spice: Spice, copied: Path) -> None:
    spice("embed", "-r", copied, "--precision", "fp32", "--set", "flip=true")
    found = load_file(copied / "embed.safetensors")["embeddings"][:8]
    wanted = F.normalize(slow(copied) + slow(copied, mirror=True))
    torch.testing.assert_close(found, wanted, atol=2e-3, rtol=0)


def test_views_are_stored_beside_the_plain_embeddings(
    spice: Spice, finished: Path, copied: Path
) -> None:
    before = load_file(finished / "embed.safetensors")["embeddings"]
    spice("embed", "-r", copied, "--views", 2, "--set", "weak.flip=0", "--set", "weak.pad=0")
    found = load_file(copied / "embed.safetensors")
    assert torch.equal(found["embeddings"], before)
    for name in ("weak", "strong"):
        assert found[name].shape == (2, *before.shape)
        torch.testing.assert_close(found[name].norm(dim=-1), torch.ones(2, 1797))
    assert torch.equal(found["weak"], before.expand(2, -1, -1))  # neither shifted nor mirrored
    assert not torch.equal(found["strong"][0], found["strong"][1])


@pytest.mark.parametrize(("views", "backbone"), [(0, True), (1, False)])
def test_heads_read_the_backbone_only_for_live_views(
    spice: Spice, copied: Path, views: int, backbone: bool
) -> None:
    spice("embed", "-r", copied, "--views", views)
    spice("self-label", "-r", copied, "--epochs", 1)
    stages = json.loads((copied / "run.json").read_text())["stages"]
    assert ("pretrain" in stages["self-label"]["inputs"]) is backbone


def test_the_log_says_how_far_features_spread(finished: Path) -> None:
    line = json.loads((finished / "embed.jsonl").read_text())
    embeddings = load_file(finished / "embed.safetensors")["embeddings"]
    assert line["rankme"] == pytest.approx(rankme(embeddings))
    assert line["mean_cosine"] == pytest.approx(mean_cosine(embeddings))


def test_features_that_no_longer_tell_images_apart_are_warned_about(
    spice: Spice, copied: Path
) -> None:
    run = Run.open(copied)
    record = run.record(Stage.PRETRAIN)
    tensors = run.read(Stage.PRETRAIN)
    for name, tensor in tensors.items():
        if name.endswith((".weight", ".bias")):
            tensors[name] = torch.full_like(tensor, float(name.endswith(".bias")))
    run.write(
        Stage.PRETRAIN,
        tensors,
        config=record.config,
        inputs=record.inputs,
        seed=record.seed,
        environment=record.environment,
        seconds=1.0,
    )
    result = spice("embed", "-r", copied)
    assert "warning: the features have collapsed: RankMe 1.0" in result.stderr
    assert result.stderr.count("warning") == 1


def test_rows_that_are_written_through_a_file_are_the_same_bytes(
    spice: Spice, copied: Path, digests: Callable[[Path], dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    more = ["--views", 2, "--set", "flip=true"]
    spice("embed", "-r", copied, *more)
    before = digests(copied)["embed.safetensors"]
    monkeypatch.setattr("spice_cli.stages.room.KEPT", 1)
    spice("embed", "-r", copied, *more, "--force")
    assert digests(copied)["embed.safetensors"] == before
    assert not [file for file in copied.iterdir() if file.name.startswith("tmp")]
