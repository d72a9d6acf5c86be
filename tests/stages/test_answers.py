from pathlib import Path

import pytest

from spice_cli.errors import InvalidError, MissingError
from spice_cli.stages.answers import (
    FILE,
    Answer,
    add_answers,
    load_answers,
    mark,
    read_given,
    row_of,
)

A, B = "a" * 64, "b" * 64


def answer(row: int, cluster: int | None = 1, of: str = A, **more: object) -> Answer:
    return Answer.model_validate(
        {"row": row, "path": f"{row}.png", "cluster": cluster, "of": of, **more}
    )


def test_the_last_answer_about_an_image_counts(tmp_path: Path) -> None:
    add_answers(tmp_path, [answer(3, 1), answer(4, 0)])
    add_answers(tmp_path, [answer(3, 2)])
    found, others = load_answers(tmp_path, A)
    assert {row: each.said for row, each in found.items()} == {4: 0, 3: 2}
    assert others == 0


def test_answers_about_other_results_are_counted_only(tmp_path: Path) -> None:
    add_answers(tmp_path, [answer(3, of=B), answer(4)])
    found, others = load_answers(tmp_path, A)
    assert (list(found), others) == ([4], 1)


def test_a_line_cut_off_by_a_crash_is_passed_over_and_the_next_begins_anew(tmp_path: Path) -> None:
    add_answers(tmp_path, [answer(3), answer(4)])
    file = tmp_path / FILE
    file.write_bytes(file.read_bytes()[:-20])
    assert list(load_answers(tmp_path, A)[0]) == [3]
    (tmp_path / FILE).write_bytes(answer(3).model_dump_json().encode())
    add_answers(tmp_path, [answer(5)])
    assert list(load_answers(tmp_path, A)[0]) == [3, 5]


def test_a_wrong_line_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("nonsense\n")
    add_answers(tmp_path, [answer(3)])
    with pytest.raises(InvalidError, match="line 1 of"):
        load_answers(tmp_path, A)


def test_an_answer_is_a_cluster_or_those_that_it_is_not_or_nothing() -> None:
    assert answer(1, None).said is None
    assert answer(1, None, none_of=(1, 2)).said == (1, 2)
    with pytest.raises(ValueError, match="either"):
        answer(1, 1, none_of=(2,))


def test_the_mark_is_of_what_was_said_not_of_when_or_in_which_order() -> None:
    one, two, skipped = answer(1), answer(2, 0), answer(3, None)
    assert mark({1: one, 2: two}) == mark({2: two, 1: answer(1), 3: skipped})
    assert mark({1: one}) != mark({1: answer(1, 0)})


def test_csv_and_json_lines_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\ufeffname,path,cluster\nx,a.png,3\ny,b.png,\n")
    (tmp_path / "a.jsonl").write_text(
        '{"path": "a.png", "cluster": 3}\n\n{"path": "b.png", "cluster": null}\n'
    )
    expected = [{"path": "a.png", "cluster": "3"}, {"path": "b.png", "cluster": ""}]
    assert read_given(tmp_path / "a.csv") == expected
    assert read_given(tmp_path / "a.jsonl") == expected


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", b"file,label\na,1\n"),
        ("a.csv", b"\xff\xfe\x00"),
        ("a.csv", b""),
        ("a.csv", b"path,cluster\nonly\n"),
        ("a.jsonl", b"{"),
        ("a.jsonl", b"[1]\n"),
        ("a.jsonl", b'{"path": 3, "cluster": 1}\n'),
        ("a.jsonl", b'{"path": "x", "cluster": [1]}\n'),
        ("a.jsonl", b"[" * 100_000),
    ],
)
def test_files_that_hold_no_answers_are_named(tmp_path: Path, name: str, text: bytes) -> None:
    (tmp_path / name).write_bytes(text)
    if text == b"path,cluster\nonly\n":
        assert read_given(tmp_path / name) == [{"path": "only", "cluster": ""}]
        return
    with pytest.raises(InvalidError, match="holds no answers"):
        read_given(tmp_path / name)


def test_a_file_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        read_given(tmp_path / "no.csv")


def test_an_image_is_found_by_its_path_its_place_or_its_row(tmp_path: Path) -> None:
    known = {"a/b.png": 0, "7": 7}
    assert row_of("a/b.png", known, tmp_path) == 0
    assert row_of(str(tmp_path / "a" / "b.png"), known, tmp_path) == 0
    assert row_of("7", known, tmp_path) == 7
    assert row_of("c.png", known, tmp_path) is None
    assert row_of("\0", known, tmp_path) is None
