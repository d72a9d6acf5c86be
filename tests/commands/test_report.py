from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spice_cli.stages import points

Spice = Callable[..., Any]


def test_the_reports_path_is_the_one_line(spice: Spice, copied: Path) -> None:
    result = spice("report", "-r", copied, "--map", "pca")
    assert result.stdout == f"{copied / 'report.html'}\n"
    assert "<title>digits: 10 clusters</title>" in (copied / "report.html").read_text()
    other = spice("report", "-r", copied, "--map", "pca", "-o", "o.html", "--stage", "embed")
    assert other.stdout == "o.html\n"
    assert "spherical k-means" in Path("o.html").read_text()


def test_what_is_wrong_ends_with_a_sentence(
    spice: Spice,
    copied: Path,
    forget: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "`mds` is not one of" in spice("report", "-r", copied, "--map", "mds", code=2).stderr
    monkeypatch.setattr(points, "has_umap", lambda: False)
    told = spice("report", "-r", copied, "--map", "umap", code=3).stderr
    assert "pip install umap-learn" in told
    spice("report", "-r", copied, "--map", "pca", "-o", "no/o.html", code=4)
    run = forget(copied, "semi", "select-reliable", "self-label", "embed")
    assert "spice embed" in spice("report", "-r", run, code=3).stderr


def test_logs_and_scores_that_cannot_be_read_are_left_out(spice: Spice, copied: Path) -> None:
    for name in ("pretrain.jsonl", "evaluate.json", "clusters.json", "again.json", "answers.jsonl"):
        (copied / name).write_text("[" * 200_000 + "\n")
    spice("report", "-r", copied, "--map", "pca")
    spice("status", "-r", copied)
