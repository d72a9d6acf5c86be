import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from spice_cli.catalog import HEADS
from spice_cli.errors import InvalidError, MissingError
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.run.tensors import load, save
from spice_cli.stages.images import images_of
from spice_cli.stages.restored import model_of
from spice_cli.stages.restored_head import head_of
from spice_cli.stages.usual import pixels_of
from spice_cli.track import Silent

Spice = Callable[..., Any]
CPU = torch.device("cpu")
EXTRA: dict[str, list[object]] = {
    "scan": ["--set", "backbone=frozen"],
    "kmeans": [],
    "gmm": ["--set", "restarts=1"],
    "temi": ["--heads", 2],
    "turtle": ["--heads", 2],
}


def said(run: Run, **given: Any) -> tuple[torch.Tensor, torch.Tensor]:
    model = model_of(run, CPU, **given)
    with torch.inference_mode():
        images = images_of(run, Silent().say).images
        out = [model(pixels_of(part, CPU)) for part in torch.split(images, 512)]
    return torch.cat([probs for probs, _ in out]), torch.cat([rows for _, rows in out])


def test_semis_network_says_what_semi_said_and_its_features_are_unit_rows(finished: Path) -> None:
    run = Run.open(finished)
    probs, rows = said(run)
    stored = run.read(Stage.SEMI, "probs")["probs"]
    torch.testing.assert_close(probs, stored, atol=1e-4, rtol=0)
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(len(rows)))


def test_in_fp32_nearly_all_images_are_where_bf16_put_them(finished: Path) -> None:
    run = Run.open(finished)
    probs, _ = said(run, fp32=True)
    stored = run.read(Stage.SEMI, "probs")["probs"]
    assert float((probs.argmax(1) == stored.argmax(1)).double().mean()) > 0.97


@pytest.mark.parametrize("precision", ["auto", "fp32"])
@pytest.mark.parametrize("name", HEADS)
def test_every_heads_network_says_what_the_head_said(
    spice: Spice, copied: Path, name: str, precision: str
) -> None:
    if precision == "auto" and name not in ("spice", "temi"):
        pytest.skip("one head of each kind of product is enough")
    extra = EXTRA.get(name, [])
    settings = ["--precision", precision, "--method", name, *extra]
    if name not in ("kmeans", "gmm", "graph"):
        settings += ["--epochs", 2]
    spice("self-label", "-r", copied, "-k", 10, *settings)
    run = Run.open(copied)
    probs, rows = said(run, stage=Stage.SELF_LABEL)
    stored = run.read(Stage.SELF_LABEL, "probs")["probs"].float()
    torch.testing.assert_close(probs, stored, atol=1e-4, rtol=0)
    embeddings = run.read(Stage.EMBED, "embeddings")["embeddings"]
    torch.testing.assert_close(rows, embeddings, atol=1e-5, rtol=0)


@pytest.mark.parametrize("self_label", [False, True])
def test_a_backbone_that_scan_trained_is_the_networks_own(
    spice: Spice, copied: Path, self_label: bool
) -> None:
    step = ["--set", "self_label=true", "--set", "confident.epochs=1"] if self_label else []
    sure = ["--set", "confident.threshold=0.1"] if self_label else []
    command = ["self-label", "-r", copied, "--method", "scan", "--set", "backbone=train"]
    spice(*command, "--epochs", 1, "--precision", "fp32", *step, *sure)
    run = Run.open(copied)
    probs, rows = said(run, stage=Stage.SELF_LABEL)
    stored = run.read(Stage.SELF_LABEL, "probs")["probs"].float()
    torch.testing.assert_close(probs, stored, atol=1e-4, rtol=0)
    embeddings = run.read(Stage.EMBED, "embeddings")["embeddings"]
    assert float((rows * embeddings).sum(1).min()) < 0.9999


def test_calibrated_probabilities_are_the_networks(spice: Spice, copied: Path) -> None:
    spice("semi", "-r", copied, "--method", "calibrated", "--steps", 60)
    run = Run.open(copied)
    probs, _ = said(run)
    stored = run.read(Stage.SEMI, "probs")["probs"]
    torch.testing.assert_close(probs, stored, atol=1e-4, rtol=0)
    assert any(name.startswith("method.") for name in run.record(Stage.SEMI).tensors)


def test_features_of_mirror_images_are_averaged_where_embed_did(spice: Spice, copied: Path) -> None:
    spice("embed", "-r", copied, "--set", "flip=true", "--set", "precision=fp32")
    run = Run.open(copied)
    _, rows = said(run, stage=Stage.EMBED)
    embeddings = run.read(Stage.EMBED, "embeddings")["embeddings"]
    torch.testing.assert_close(rows, embeddings, atol=1e-5, rtol=0)


def test_embed_alone_clusters_by_k_means_as_evaluate_does(finished: Path) -> None:
    from spice_cli.stages.assignments import assignments

    run = Run.open(finished)
    probs, _ = said(run, stage=Stage.EMBED)
    assert torch.equal(probs.argmax(1), assignments(run, Stage.EMBED, None).cluster)


def test_a_head_of_another_result_is_refused(copied: Path) -> None:
    file = copied / "self-label.safetensors"
    stored = load(file)
    turned = {k: -v if k.startswith("heads.") else v for k, v in stored.tensors.items()}
    sha256, size = save(file, turned, stored.metadata)
    manifest = json.loads((copied / "run.json").read_text())
    del manifest["check"]
    manifest["stages"]["self-label"] |= {"sha256": sha256, "size": size}
    (copied / "run.json").write_text(json.dumps(manifest))
    with pytest.raises(InvalidError, match="do not cluster the embeddings as `self-label` did"):
        model_of(Run.open(copied), CPU, stage=Stage.SELF_LABEL)


def test_without_a_network_it_says_which_one_is_missing(
    spice: Spice, finished: Path, tmp_path: Path
) -> None:
    rows = F.normalize(torch.randn(60, 5, generator=torch.Generator().manual_seed(0)))
    np.save("rows.npy", rows.numpy())
    spice("embed", "--from", "rows.npy", "-r", tmp_path / "alone")
    run = Run.open(tmp_path / "alone")
    with pytest.raises(MissingError, match="came from a file, not from a network"):
        model_of(run, CPU, clusters=3)
    assert head_of(run, Stage.EMBED, CPU, clusters=3)(rows).shape == (60, 3)


def test_probabilities_from_a_file_come_without_a_head(
    spice: Spice, copied: Path, tmp_path: Path
) -> None:
    probs = Run.open(copied).read(Stage.SEMI, "probs")["probs"]
    np.save("probs.npy", probs.numpy())
    spice("semi", "-r", copied, "--from", "probs.npy")
    spice("self-label", "-r", copied, "--from", "probs.npy")
    for stage, lacks in ((Stage.SEMI, "no network"), (Stage.SELF_LABEL, "no heads")):
        with pytest.raises(MissingError, match=f"holds {lacks}") as caught:
            model_of(Run.open(copied), CPU, stage=stage)
        assert f"spice {stage} --force" in caught.value.hint


def test_several_feature_spaces_are_more_than_one_network(
    spice: Spice, copied: Path, tmp_path: Path
) -> None:
    n = len(Run.open(copied).read(Stage.SEMI, "probs")["probs"])
    np.save("rows.npy", np.random.default_rng(0).normal(size=(n, 4)).astype(np.float32))
    command = ["self-label", "-r", copied, "--method", "turtle", "--epochs", 1]
    spice(*command, "--space", "rows.npy")
    with pytest.raises(MissingError, match="several feature spaces"):
        model_of(Run.open(copied), CPU, stage=Stage.SELF_LABEL)
