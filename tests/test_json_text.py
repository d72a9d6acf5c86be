import json
from pathlib import Path

import pytest

from spice_cli.errors import InvalidError, MissingError
from spice_cli.json_text import parse_json, read_json


def test_what_is_json_is_parsed(tmp_path: Path) -> None:
    value = {"a": [1, 2.5, None, "é\udcff"]}
    (tmp_path / "x").write_text(json.dumps(value))
    assert read_json(tmp_path / "x") == parse_json(json.dumps(value), "x") == value


@pytest.mark.parametrize(
    "text",
    ["[" * 200_000, '{"a":' * 200_000, "9" * 5_000, "", "{", "a\0", b"\xff\xfe\xfd", b'"\xff"'],
)
def test_what_is_not_is_one_sentence(tmp_path: Path, text: str | bytes) -> None:
    (tmp_path / "x").write_bytes(text if isinstance(text, bytes) else text.encode())
    for read in (lambda: parse_json(text, "`x`"), lambda: read_json(tmp_path / "x")):
        with pytest.raises(InvalidError, match=r"`[^`]*x` is not JSON") as at:
            read()
        assert len(str(at.value)) < 300


def test_a_file_that_is_gone_or_a_directory_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="there is no file"):
        read_json(tmp_path / "none")
    with pytest.raises(InvalidError, match="could not read"):
        read_json(tmp_path)
