import os
from pathlib import Path

from spice_cli.data.named import named_images
from spice_cli.data.spelling import text


def test_directories_give_their_images_sorted_and_files_are_taken_as_they_are(
    tmp_path: Path,
) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    for file in ("a/z.png", "a/b/x.JPG", "a/b/notes.txt", "a/.hidden.png", "odd.dat"):
        (tmp_path / file).write_bytes(b"x")
    found = list(named_images([Path("a"), Path("odd.dat"), Path("gone.png")]))
    assert [name for name, _ in found] == ["a/b/x.JPG", "a/z.png", "odd.dat", "gone.png"]
    assert [file.exists() for _, file in found] == [True, True, True, False]


def test_images_come_before_all_directories_were_walked(tmp_path: Path) -> None:
    for file in ("a/x.png", "b/x.png", "b.png", "b c/x.png"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(b"x")
    found = (name for name, _ in named_images([Path()]))
    assert next(found) == "a/x.png"
    (tmp_path / "b" / "y.png").write_bytes(b"x")
    assert list(found) == ["b/x.png", "b/y.png", "b c/x.png", "b.png"]


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "x.png").write_bytes(b"x")
    (folder / "again").symlink_to(folder)
    assert [name for name, _ in named_images([folder])] == [str(folder / "x.png")]


def test_a_name_that_is_no_text_is_spelt_in_text() -> None:
    assert text(Path(os.fsdecode(b"caf\xe9.png"))) == r"caf\udce9.png"
