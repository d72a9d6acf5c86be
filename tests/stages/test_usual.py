from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from spice_cli.run.curation import Merge
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages import curate, usual
from spice_cli.stages.model import Model
from spice_cli.stages.restored import model_of
from spice_cli.stages.usual import FILE, Usual
from spice_cli.track import Silent

CPU = torch.device("cpu")


def found(run: Run, stage: Stage = Stage.SELF_LABEL) -> Usual:
    unit = stage is not Stage.SEMI
    model = model_of(run, CPU, stage=stage)
    return usual.usual(run, stage, model, clusters=None, unit=unit, track=Silent())


def test_distances_are_those_of_each_training_image_to_its_clusters_mean(copied: Path) -> None:
    run = Run.open(copied)
    rows = run.read(Stage.EMBED, "embeddings")["embeddings"]
    cluster = run.read(Stage.SELF_LABEL, "probs")["probs"].argmax(1)
    centers = F.normalize(torch.stack([rows[cluster == c].sum(0) for c in range(10)]))
    expected = 1 - (rows * centers[cluster]).sum(1)
    ours = found(run)
    torch.testing.assert_close(ours.centers, centers)
    torch.testing.assert_close(ours.distances, expected.sort().values)
    share = float((expected <= ours.beyond(0.99)).double().mean())
    assert share == pytest.approx(0.99, abs=0.002)


def test_semis_images_go_through_its_own_network_once(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    forward = Model.forward

    def counted(self, pixels):
        calls.append(len(pixels))
        return forward(self, pixels)

    monkeypatch.setattr(Model, "forward", counted)
    run = Run.open(copied)
    first = found(run, Stage.SEMI)
    assert sum(calls) == run.manifest.data.train
    again = found(run, Stage.SEMI)
    assert sum(calls) == run.manifest.data.train
    assert torch.equal(first.distances, again.distances)


def test_it_is_found_anew_where_clusters_or_stage_are_others(copied: Path) -> None:
    run = Run.open(copied)
    before = found(run, Stage.SEMI)
    with run.lock():
        curate.merge(run, [0, 1])
    merged = found(run, Stage.SEMI)
    assert before.centers[1].norm() > 0
    assert merged.centers[1].norm() == 0
    assert found(run).centers.shape != before.centers.shape or not torch.equal(
        found(run).centers, before.centers
    )
    assert isinstance(curate.undo(run), Merge)


def test_a_damaged_file_is_found_anew_and_a_run_that_cannot_be_written_is_no_fault(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.open(copied)
    before = found(run)
    (copied / FILE).write_bytes(b"broken")
    assert torch.equal(found(run).distances, before.distances)
    (copied / FILE).unlink()
    (copied / f"{FILE}.partial").mkdir()
    assert torch.equal(found(run).distances, before.distances)
    assert not (copied / FILE).exists()


def test_of_many_images_some_stand_for_all(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usual, "LOOKED_AT", 500)
    assert len(found(Run.open(copied)).distances) == 500
