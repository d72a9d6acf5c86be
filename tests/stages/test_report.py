"""The report of every kind of run; how it looks and behaves is tests/report/test_browser.py's."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from spice_cli.errors import InvalidError, MissingError, UsageError
from spice_cli.run.curation import Curation, Merge, save_curation
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages import cards, points, report_questions
from spice_cli.stages.report import report
from spice_cli.track import Silent

Spice = Callable[..., Any]


def shown(run: Path, **choices: Any) -> tuple[dict[str, Any], str]:
    file = run / "report.html"
    report(Run.open(run), file, track=Silent(), **choices)
    html = file.read_text(encoding="utf-8")
    return json.loads(html.split('id="data">')[1].split("</script>")[0]), html


def embedded(spice: Spice, n: int, probs: int = 0) -> Path:
    """Begin a run with embeddings alone, and with `probs` give it so many clusters."""
    x = torch.randn(n, 16, generator=torch.Generator().manual_seed(0))
    np.save("x.npy", F.normalize(x).numpy())
    spice("embed", "--from", "x.npy", "-r", "r")
    if probs:
        np.save("p.npy", np.eye(probs, dtype=np.float32)[np.arange(n) % probs])
        spice("self-label", "--from", "p.npy", "-r", "r")
    return Path("r")


def test_a_whole_run_has_all_sections(spice: Spice, copied: Path) -> None:
    spice("evaluate", "-r", copied)
    of = Run.open(copied).record(Stage.SEMI).sha256
    save_curation(copied, Curation(of=of, names={2: "red <cars>"}))
    data, html = shown(copied)
    assert sum(cluster["size"] for cluster in data["clusters"]) == 1797
    assert data["clusters"][2]["name"] == "red <cars>"
    assert "red &lt;cars&gt;" in html
    rows = data["clusters"][2]["galleries"]
    assert [title.split()[0] for title in rows] == ["prototypes:", "where", "typical:", "doubtful:"]
    assert all(len(row) == 8 for row in rows.values())
    assert list(data["points"]["maps"]) == ["tsne", "pca"]
    assert len(data["points"]["path"]) == len(data["points"]["maps"]["pca"]["x"]) == 1797
    assert {"Near-duplicates", "Outliers"} == {each["title"] for each in data["findings"]}
    for text in ("Heat maps: cosine", "compared with the true classes: acc", 'class="matrix"'):
        assert text in html
    charts = re.findall(r"<figcaption>([^<]*)", html)
    assert "pretrain: loss " in charts
    assert any("selection loss of its 4 heads" in title for title in charts)
    assert "stage semi" in html and "sha256" in html


def test_labels_are_shown_only_where_evaluate_compared_with_them(copied: Path) -> None:
    (copied / "evaluate.json").unlink(missing_ok=True)
    data, html = shown(copied, maps=("pca",))
    assert all(cluster["truth"] == "" for cluster in data["clusters"])
    assert "has not compared these clusters with true classes" in html
    assert 'class="matrix"' not in html


def test_without_what_the_backbone_needs_there_are_no_heat_maps(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(run: Run, device: torch.device) -> None:
        raise MissingError("`timm/x` needs timm, which is not installed")

    monkeypatch.setattr(cards, "restore", missing)
    track = Silent()
    report(Run.open(copied), copied / "report.html", maps=("pca",), track=track)
    assert any("no heat maps: `timm/x` needs timm" in line for line in track.said)
    assert "Heat maps:" not in (copied / "report.html").read_text()


def test_a_merged_cluster_takes_its_images_along(copied: Path) -> None:
    before, _ = shown(copied, maps=("pca",))
    of = Run.open(copied).record(Stage.SEMI).sha256
    save_curation(copied, Curation(of=of, edits=(Merge(clusters=(1, 4)),)))
    after, _ = shown(copied, maps=("pca",))
    assert [c["id"] for c in after["clusters"]] == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    size = {c["id"]: c["size"] for c in before["clusters"]}
    assert after["clusters"][1]["size"] == size[1] + size[4]


def test_only_embed_is_shown_by_k_means(copied: Path, forget: Callable[..., Path]) -> None:
    run = forget(copied, "semi", "select-reliable", "self-label")
    data, html = shown(run, maps=("pca",), clusters=3, pictures=2)
    assert len(data["clusters"]) == 3
    assert data["measure"] == "cosine"
    assert "spherical k-means" in html
    assert {len(row) for c in data["clusters"] for row in c["galleries"].values()} == {2}


def test_without_embeddings_there_is_no_map_but_there_are_galleries(
    copied: Path, forget: Callable[..., Path]
) -> None:
    run = Run.open(copied)
    record, probs = run.record(Stage.SEMI), run.read(Stage.SEMI, "probs")
    run = Run.open(forget(copied, "select-reliable", "self-label", "embed", "semi"))
    run.write(
        Stage.SEMI, probs, config={}, inputs=run.inputs(), seed=0,
        environment=record.environment, seconds=1.0, imported=True,
    )  # fmt: skip
    data, _ = shown(copied)
    assert (data["mapped"], data["findings"]) == (False, [])
    assert len(data["points"]["path"]) == 1797
    assert "prototypes: highest confidence" in data["clusters"][0]["galleries"]


def test_a_run_that_began_with_embeddings_has_words_for_pictures(spice: Spice) -> None:
    data, html = shown(embedded(spice, 60), clusters=4)
    assert data["gallery"]["side"] == data["thumbnails"]["side"] == 0
    assert data["points"]["path"][7] == "row 7"
    assert "<title>" in html
    with pytest.raises(UsageError, match="how many clusters"):
        report(Run.open(Path("r")), Path("o.html"), track=Silent())


@pytest.mark.parametrize("n", [2, 3, 9])
def test_a_handful_of_images_is_enough(spice: Spice, n: int) -> None:
    data, _ = shown(embedded(spice, n, probs=2))
    assert sum(cluster["size"] for cluster in data["clusters"]) == n


def test_of_many_clusters_fewer_pictures_are_shown(spice: Spice) -> None:
    data, _ = shown(embedded(spice, 900, probs=200), maps=("pca",), pictures=50)
    assert len(data["clusters"]) == 200
    assert len(data["gallery"]["captions"]) <= 2400 + 100
    assert all(row for c in data["clusters"] for row in c["galleries"].values())


def test_of_many_images_some_are_drawn_on_the_map(
    spice: Spice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(points, "MOST_POINTS", 50)
    data, _ = shown(embedded(spice, 300, probs=3), maps=("pca",))
    assert len(set(data["points"]["path"])) == 50
    assert sum(cluster["size"] for cluster in data["clusters"]) == 300


def test_an_empty_cluster_is_shown_as_such_but_a_merged_one_is_not(spice: Spice) -> None:
    run = embedded(spice, 60)
    np.save("p.npy", np.eye(4, dtype=np.float32)[np.arange(60) % 3])
    spice("self-label", "--from", "p.npy", "-r", run)
    data, _ = shown(run, maps=("pca",))
    assert [c["size"] for c in data["clusters"]] == [20, 20, 20, 0]
    of = Run.open(run).record(Stage.SELF_LABEL).sha256
    save_curation(run, Curation(of=of, edits=(Merge(clusters=(0, 2)),)))
    data, _ = shown(run, maps=("pca",))
    assert [c["id"] for c in data["clusters"]] == [0, 1, 3]


def test_a_log_torn_by_a_crash_still_gives_a_curve(copied: Path) -> None:
    log = copied / "pretrain.jsonl"
    log.write_text(log.read_text() + '{"epoch": 4, "lo')
    assert "pretrain: loss" in shown(copied, maps=("pca",))[1]


def test_the_same_run_gives_the_same_report(spice: Spice) -> None:
    run = embedded(spice, 60, probs=3)
    assert shown(run)[1] == shown(run)[1]


def test_umap_is_named_where_it_is_missing(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(points, "has_umap", lambda: False)
    with pytest.raises(MissingError, match="needs UMAP"):
        shown(copied, maps=("umap",))


def test_a_place_that_cannot_be_written_to_is_named(copied: Path) -> None:
    with pytest.raises(InvalidError, match="could not write"):
        report(Run.open(copied), copied / "no" / "o.html", maps=("pca",), track=Silent())


def test_questions_are_those_of_ask_and_answered_ones_do_not_come_back(
    clustered: Path, spice: Spice
) -> None:
    data, html = shown(clustered)
    listed = spice("ask", "--list", "-q", 20, "-r", clustered).stdout.splitlines()
    asked = data["questions"]["asked"]
    assert [each["path"] for each in asked] == [json.loads(line)["path"] for line in listed]
    assert asked[0]["options"][0][0] == json.loads(listed[0])["options"][0]["cluster"]
    assert "spice ask --answers answers.csv -r" in html
    spice("ask", "-q", 1, "-r", clustered, input="+\n")
    again, _ = shown(clustered)
    assert asked[0]["path"] not in [each["path"] for each in again["questions"]["asked"]]
    assert [each[0] for each in again["questions"]["clusters"]] == [0, 1, 2, 4]


def test_nothing_is_asked_of_many_images_an_older_stage_or_where_nobody_wants_it(
    clustered: Path, spice: Spice, monkeypatch: pytest.MonkeyPatch
) -> None:
    for choices in ({"asking": 0}, {"stage": Stage.EMBED}):
        data, html = shown(clustered, **choices)
        assert data["questions"]["asked"] == []
        assert "spice ask" in html or "furthest" in html
    monkeypatch.setattr("spice_cli.stages.report_questions.EASY", 119)
    assert shown(clustered)[0]["questions"]["asked"] == []
    assert len(shown(clustered, asking=3)[0]["questions"]["asked"]) == 3


def test_a_path_that_no_line_can_hold_is_named_by_its_row() -> None:
    assert report_questions.key('a,"b".png', 3, set()) == 'a,"b".png'
    assert report_questions.key("a\u2028b", 3, {"a\u2028b"}) == "3"
    assert report_questions.key("a\udcff", 3, set()) == "3"
    assert report_questions.key(" a", 3, {"3"}) == " a"
