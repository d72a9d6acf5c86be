import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spice_cli.stages import check_data

Spice = Callable[..., Any]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Twelve images, and one each that is broken, empty, a copy, turned, nearly another, plain."""
    root, rng = tmp_path / "p", np.random.default_rng(0)
    (root / "train").mkdir(parents=True)
    (root / "test").mkdir()
    for number in range(12):
        small = rng.integers(0, 256, (6, 6, 3)).astype(np.uint8)
        image = Image.fromarray(small).resize((24, 24), Image.Resampling.BICUBIC)
        image.save(root / f"train/{number:02}.png")
        if number == 1:
            image.transpose(Image.Transpose.ROTATE_90).save(root / "train/turned.png")
        if number == 2:
            image.save(root / "train/near.jpg", quality=95, subsampling=0)
        if number == 3:
            image.save(root / "test/copy.png")
    Image.new("RGB", (24, 24), "red").save(root / "train/red.png")
    (root / "train/broken.png").write_bytes(b"\x89PNG")
    (root / "train/empty.png").touch()
    return root


def test_a_line_for_each_thing_that_is_wrong(spice: Spice, pictures: Path) -> None:
    result = spice("check", pictures)
    assert result.stdout.splitlines() == [
        "kind\tpath\tother",
        "unreadable\ttrain/broken.png\t",
        "unreadable\ttrain/empty.png\t",
        "exact\ttest/copy.png\ttrain/03.png",
        "near\ttrain/near.jpg\ttrain/02.png",
        "turned\ttrain/turned.png\ttrain/01.png",
        "shared\ttest/copy.png\ttrain/03.png",
        "plain\ttrain/red.png\t",
    ]
    assert "checked 16 images: look at these" in result.stderr
    assert "2 cannot be read" in result.stderr


def test_json_names_every_kind(spice: Spice, pictures: Path) -> None:
    found = json.loads(spice("check", pictures, "--json").stdout)
    assert set(found) == {"images", "compared", "orientation", *check_data.KINDS}
    assert found["plain"] == [["train/red.png", None]]
    assert (found["images"], found["compared"]) == (16, True)


def test_nothing_wrong_is_said(spice: Spice) -> None:
    result = spice("check", "digits")
    assert result.stdout.splitlines()[0] == "kind\tpath\tother"
    assert "checked 1,797 images" in result.stderr


def test_many_images_are_not_compared_with_each_other(
    spice: Spice, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_data, "MOST", 10)
    result = spice("check", pictures)
    kinds = [line.split("\t")[0] for line in result.stdout.splitlines()[1:]]
    assert kinds == ["unreadable", "unreadable", "exact", "shared", "plain"]
    assert "looked for up to 10 images" in result.stderr


def test_what_is_no_data_is_an_error(spice: Spice, tmp_path: Path) -> None:
    spice("check", tmp_path / "gone", code=3)
    spice("check", "cifra10", code=2)


def test_of_a_run_its_own_network_looks(spice: Spice, finished: Path) -> None:
    result = spice("check", "-r", finished, "--json")
    found = json.loads(result.stdout)
    assert found["orientation"]["judged"] == 1000
    assert "of the turns of 1,000 images are told rightly" in result.stderr


def test_copies_are_found_by_what_a_network_sees(
    spice: Spice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    from spice_cli.ops.upright import Orientation
    from spice_cli.stages import sight

    images = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3)).astype(np.uint8)
    np.savez(tmp_path / "x.npz", images=images)
    degrees = torch.zeros(30, dtype=torch.int64)
    degrees[7] = 90
    pairs = torch.tensor([[2, 5]])
    seen = sight.Sight(pairs, pairs[:0], torch.arange(30), Orientation(degrees, 0.9))
    monkeypatch.setattr(sight, "look", lambda *_: seen)
    monkeypatch.setattr(sight, "eye_of", lambda *_: None)
    monkeypatch.setattr("spice_cli.commands.pretrained.Wanted.find", lambda _: _Found)
    result = spice("check", tmp_path / "x.npz", "--backbone", "photos", "--size", 8)
    assert result.stdout.splitlines()[1:] == ["alike\timage 5\timage 2", "rotated\timage 7\t90"]
    assert "1 seem to be turned" in result.stderr


class _Found:
    class facts:
        side = 8


def test_without_a_data_set_nothing_about_one_is_taken(spice: Spice, finished: Path) -> None:
    spice("check", "-r", finished, "--size", 8, code=2)
    spice("check", "digits", "-r", finished, code=2)
