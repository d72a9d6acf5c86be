from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from spice_cli.config.data import DataSpec
from spice_cli.data.dataset import Dataset
from spice_cli.data.load import load
from spice_cli.run.manifest import Recipe, Stage
from spice_cli.run.store import Run
from spice_cli.stages import images as room
from spice_cli.stages.images import describe, images_of, pretraining_images


@pytest.mark.parametrize(("protocol", "train"), [("whole", 5), ("split", 3)])
def test_pretraining_alone_sees_unlabelled_images(
    protocol: str, train: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = torch.arange(7, dtype=torch.uint8)[:, None, None, None].expand(7, 3, 8, 8).contiguous()
    data = Dataset(
        images=pool[2:],
        train=train,
        classes=2,
        names=None,
        paths=None,
        bad=(),
        read_labels=lambda: None,
        pool=pool,
    )
    monkeypatch.setattr(room, "load", lambda spec, say: data)
    spec = DataSpec(name=f"toy-{tmp_path}", protocol=protocol)  # type: ignore[arg-type]
    about = describe(spec, print)
    run = Run.create(tmp_path / "r", about, Recipe(name="defaults"), seed=0)
    seen, every = pretraining_images(run, torch.device("cpu"), print)
    assert (about.train, about.test, about.unlabelled) == (train, 5 - train, 2)
    assert seen[:, 0, 0, 0].tolist() == list(range(2 + train))
    assert every[:, 0, 0, 0].tolist() == [2, 3, 4, 5, 6]
    assert images_of(run, print).images.equal(every)


def test_what_pretraining_leaves_is_about_the_images_that_every_stage_sees(
    spice: Callable[..., Any], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_more(spec: DataSpec, say: Callable[[str], None]) -> Dataset:
        data = load(spec, say)
        images = data.images[:200]
        pool = torch.cat([data.images[200:400], images])
        return replace(data, images=pool[200:], train=150, pool=pool)

    monkeypatch.setattr(room, "load", with_more)
    monkeypatch.setattr(room, "_loaded", {})
    run = tmp_path / "r"
    settings = ["method=byol", "epochs=1", "batch_size=350", "width=4", "hidden=8", "compile=off"]
    given = [part for text in settings for part in ("--set", text)]
    result = spice("pretrain", "digits", "--protocol", "split", "--recipe", tiny, "-r", run, *given)
    record = Run.open(run).manifest.stages[Stage.PRETRAIN]
    assert record.tensors["projections"].shape == (200, 256)
    assert "more than there are images" not in result.stderr
    assert Run.open(run).manifest.data.unlabelled == 200
