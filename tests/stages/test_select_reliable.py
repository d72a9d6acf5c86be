import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from spice_cli.stages import select_reliable as stage

Spice = Callable[..., Any]


def test_consistency_is_the_share_of_neighbours_with_the_label(finished: Path) -> None:
    x = load_file(finished / "embed.safetensors")["embeddings"].double()
    label = load_file(finished / "self-label.safetensors")["probs"].argmax(1)
    nearest = (x @ x.T).fill_diagonal_(2).argsort(1, descending=True)[:, :10]
    expected = (label[nearest] == label[:, None]).float().mean(1)
    found = load_file(finished / "select-reliable.safetensors")["consistency"]
    assert (found - expected).abs().lt(1e-6).float().mean() > 0.99


@pytest.mark.parametrize("index", ["ivf", "hnsw"])
def test_an_approximate_index_says_how_many_neighbours_it_found(
    spice: Spice, copied: Path, index: str
) -> None:
    pytest.importorskip("faiss")
    before = load_file(copied / "select-reliable.safetensors")["consistency"]
    result = spice("select-reliable", "-r", copied, "--set", f"index={index}")
    assert f"`{index}` found " in result.stderr
    unit = "cells" if index == "ivf" else "candidates"
    assert "of the nearest neighbours of 500 images, looking at " in result.stderr
    assert f" {unit} for each" in result.stderr
    after = load_file(copied / "select-reliable.safetensors")["consistency"]
    assert (after - before).abs().lt(1e-6).float().mean() > 0.9
    line = json.loads((copied / "select-reliable.jsonl").read_text().splitlines()[-1])
    assert line["index"] == index
    assert 0.9 < line["recall"] <= 1
    assert line["width"] >= 8


@pytest.mark.parametrize("index", ["ivf", "hnsw"])
def test_an_index_without_faiss_says_what_to_install(
    spice: Spice, copied: Path, monkeypatch: pytest.MonkeyPatch, index: str
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    result = spice("select-reliable", "-r", copied, "--set", f"index={index}", code=3)
    assert f"`index={index}` needs faiss, which is not installed" in result.stderr
    assert "pip install faiss-cpu" in result.stderr


def test_another_index_is_refused(spice: Spice, copied: Path) -> None:
    result = spice("select-reliable", "-r", copied, "--set", "index=flat", code=2)
    assert "`index` = `flat`" in result.stderr


def test_the_exact_neighbours_need_no_faiss(
    spice: Spice, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    before = load_file(copied / "select-reliable.safetensors")
    spice("select-reliable", "-r", copied, "--force")
    after = load_file(copied / "select-reliable.safetensors")
    assert all(torch.equal(after[name], before[name]) for name in before)


def stored(run: Path) -> Any:
    return json.loads((run / "run.json").read_text())["stages"]["select-reliable"]


@pytest.mark.parametrize(("most", "index"), [(1797, "exact"), (1796, "ivf")])
def test_beyond_a_stated_size_an_index_finds_neighbours(
    spice: Spice, copied: Path, monkeypatch: pytest.MonkeyPatch, most: int, index: str
) -> None:
    pytest.importorskip("faiss")
    monkeypatch.setattr(stage, "COMPARED", most)
    said = spice("select-reliable", "-r", copied, "--force").stderr
    assert stored(copied)["config"]["index"] == index
    assert ("`ivf` found" in said) is (index == "ivf")


def test_another_method_leaves_the_recipes_settings_of_the_first_behind(
    spice: Spice, copied: Path
) -> None:
    assert stored(copied)["config"]["settings"]["agreement"] == 0.3
    spice("select-reliable", "-r", copied, "--method", "adaptive")
    assert stored(copied)["config"] == {
        "method": "adaptive",
        "index": "exact",
        "min_per_cluster": 5,
        "settings": {"neighbors": 50, "balance": "none"},
    }
    wrong = spice("select-reliable", "-r", copied, "--method", "scan", "--agreement", 1, code=2)
    assert "`agreement` is not a setting of `select-reliable`" in wrong.stderr


def test_adaptive_neighbourhoods_are_logged(spice: Spice, copied: Path) -> None:
    spice("select-reliable", "-r", copied, "--method", "adaptive")
    line = json.loads((copied / "select-reliable.jsonl").read_text().splitlines()[-1])
    assert 17 <= line["neighborhood"] <= 49  # 2^-16 is more than 1 / (1,797 * 49)
    assert line["reliable"] > 100


def test_scan_looks_at_no_neighbours(
    spice: Spice, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spice_cli.ops import neighbors

    monkeypatch.setattr(neighbors, "nearest_of", None)
    monkeypatch.setattr(neighbors, "screen", None)
    spice("select-reliable", "-r", copied, "--method", "scan", "--confidence", 0.2)
    probs = load_file(copied / "self-label.safetensors")["probs"]
    left = load_file(copied / "select-reliable.safetensors")
    assert set((probs.amax(1) > 0.2).nonzero()[:, 0].tolist()) <= set(left["index"].tolist())
    assert bool((left["consistency"] == 1).all())


def test_a_hint_names_only_settings_of_the_method(spice: Spice, copied: Path) -> None:
    bare = ["--min-per-cluster", 0]
    scan = spice(
        "select-reliable", "-r", copied, "--method", "scan", "--confidence", 1, *bare, code=4
    )
    assert "or for all: `--set confidence=0.5`" in scan.stderr
    adaptive = spice(
        "select-reliable", "-r", copied, "--method", "adaptive", "--neighbors", 3, *bare, code=4
    )
    assert "no reliable sample in 10 of 10 clusters" in adaptive.stderr
    assert "for all" not in adaptive.stderr
