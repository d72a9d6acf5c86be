from pathlib import Path

import pytest
from PIL import Image

from spice_cli.data.photographs import photographs


@pytest.mark.parametrize(("size", "said"), [((64, 200), True), ((63, 200), False)])
def test_the_shorter_side_decides(tmp_path: Path, size, said) -> None:
    (tmp_path / "a").mkdir()
    for number in range(3):
        Image.new("RGB", size).save(tmp_path / "a" / f"{number}.png")
    assert photographs(tmp_path) is said


def test_broken_and_hidden_files_and_other_things_do_not_count(tmp_path: Path) -> None:
    assert not photographs(tmp_path)
    assert not photographs(tmp_path / "gone")
    (tmp_path / "a.jpg").write_bytes(b"no image")
    (tmp_path / ".hidden").mkdir()
    Image.new("RGB", (99, 99)).save(tmp_path / ".hidden" / "b.png")
    assert not photographs(tmp_path)
    Image.new("RGB", (99, 99)).save(tmp_path / "c.png")
    assert photographs(tmp_path)
