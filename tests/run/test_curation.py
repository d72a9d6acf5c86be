from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spice_cli.errors import InvalidError
from spice_cli.run.curation import (
    FILE,
    Curation,
    Merge,
    Split,
    load_curation,
    only_others,
    save_curation,
)

A, B = "a" * 64, "b" * 64
EDITS = (
    Merge(clusters=(3, 5)),
    Split(cluster=3, parts=(3, 7), centers=((1.0, 0.0), (0.0, 1.0))),
)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    made = Curation(of=A, edits=EDITS, names={3: "red 🚗", 0: 'a\\b"c'})
    save_curation(tmp_path, made)
    assert load_curation(tmp_path, A) == made


def test_nothing_is_decided_at_first(tmp_path: Path) -> None:
    assert load_curation(tmp_path, A) == Curation(of=A)
    assert not only_others(tmp_path, A)


def test_each_result_has_its_own(tmp_path: Path) -> None:
    save_curation(tmp_path, Curation(of=A, names={1: "one"}))
    assert only_others(tmp_path, B)
    save_curation(tmp_path, Curation(of=B, names={1: "other"}))
    assert load_curation(tmp_path, A).names == {1: "one"}
    assert load_curation(tmp_path, B).names == {1: "other"}
    assert not only_others(tmp_path, B)


def test_what_became_empty_is_forgotten(tmp_path: Path) -> None:
    save_curation(tmp_path, Curation(of=A, names={1: "one"}))
    save_curation(tmp_path, Curation(of=A))
    assert A not in (tmp_path / FILE).read_text()


def damaged(part: str) -> str:
    return '{"results": [{"of": "' + A + '", ' + part + "}]}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"results": [{"of": "x"}]}',
        damaged('"edits": [{"kind": "merge", "clusters": [1]}]'),
        damaged(
            '"edits": [{"kind": "split", "cluster": 1, "parts": [1, 2], "centers": [[1.0]]}]',
        ),
        damaged('"names": {"-1": "x"}'),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(InvalidError, match="is not a curation") as failure:
        load_curation(tmp_path, A)
    assert "mv" in failure.value.hint


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=80))
def test_no_bytes_end_in_a_traceback(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    try:
        load_curation(tmp_path, A)
    except InvalidError as error:
        assert str(error)
