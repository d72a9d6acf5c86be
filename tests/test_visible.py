import json
from ast import literal_eval

from hypothesis import given
from hypothesis import strategies as st

from spice_cli.visible import field, json_line, visible

CONTROLS = {chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))}


@given(st.text())
def test_no_control_character_is_left_and_all_else_is(text: str) -> None:
    assert not CONTROLS & set(visible(text)) and not CONTROLS & set(field(text))
    plain = "".join(each for each in text if each not in CONTROLS)
    assert visible(plain) == plain


@given(st.text(st.characters(codec="utf-8") | st.sampled_from("\\\t\n\x1b\x7f\x9b")))
def test_a_cell_is_spelled_as_in_python(text: str) -> None:
    quoted = field(text).replace('"', r"\"")
    assert literal_eval(f'"{quoted}"') == text


def test_what_is_to_stay_stays() -> None:
    assert visible("a\tb\n\x1b]0;x", but="\t\n") == "a\tb\n\\x1b]0;x"


@given(st.text())
def test_json_is_the_same_json_without_control_characters(text: str) -> None:
    line = json_line({"path": text})
    assert json.loads(line) == {"path": text} and not CONTROLS & set(line)
