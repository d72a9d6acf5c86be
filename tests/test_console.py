import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from spice_cli import console


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a person at a terminal of 100 columns gets to see."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    return watched(monkeypatch)


def watched(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    shown = Console(file=stream, force_terminal=True, highlight=False, width=100)
    monkeypatch.setattr(console, "stderr", shown)
    return stream


def test_a_value_is_one_line_and_a_mapping_one_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    console.emit("runs/digits")
    console.emit({"acc": 0.5, "nmi": 0.25})
    assert capsys.readouterr().out == "runs/digits\nacc\t0.5\nnmi\t0.25\n"


def test_json_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    console.emit({"acc": 0.5, "of": ["é"]}, as_json=True)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == {"acc": 0.5, "of": ["é"]}


def test_what_people_read_goes_to_stderr_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    console.say("[red]not markup[/red] :smile: " + "x" * 300)
    console.warn("[that]")
    console.fail("`[a]`", "spice [b]")
    console.fail("no way out")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "[red]not markup[/red] :smile: " + "x" * 300,
        "warning: [that]",
        "error: `[a]`",
        "",
        "hint: spice [b]",
        "error: no way out",
    ]


HARM = "\x1b]0;x\x07\x1b[31m\n\t\x9b2J\x7f"
SPELLED = r"\x1b]0;x\x07\x1b[31m\n\t\x9b2J\x7f"


def test_no_terminal_obeys_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    console.say(HARM)
    console.warn(HARM)
    console.fail(HARM, HARM)
    console.show(HARM, [HARM], [[HARM]])
    with console.Terminal().bar(HARM, 1) as bar:
        bar.line(HARM)
    console.emit(Path(HARM))
    console.emit({HARM: f"{HARM.replace(chr(9), '')}\t1"})
    console.emit_table(["name"], [[HARM]])
    out, err = capsys.readouterr()
    assert err.splitlines() == [
        SPELLED, f"warning: {SPELLED}", f"error: {SPELLED}", "", f"hint: {SPELLED}",
        SPELLED, SPELLED, SPELLED, f"{SPELLED}  {SPELLED}",
    ]  # fmt: skip
    assert out.split("\n") == [
        SPELLED, f"{SPELLED}\t{SPELLED.replace(chr(92) + 't', '')}\t1", "name", SPELLED, "",
    ]  # fmt: skip


def test_a_terminal_with_bars_obeys_no_name(terminal: io.StringIO) -> None:
    with console.Terminal().bar(HARM, 1) as bar:
        bar.line(HARM)
    assert r"\x1b]0;x" in terminal.getvalue() and "\x1b]0;x" not in terminal.getvalue()


def test_a_table_is_not_cut_to_the_width_of_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    titles = ["class", "[b]", *"cdefg"]
    console.show("runs/[/x]: clusters", titles, [["[x]" + "y" * 40, *["123456789"] * 6]])
    err = capsys.readouterr().err
    assert err.startswith("runs/[/x]: clusters\n")
    assert "[b]" in err
    assert "[x]" + "y" * 40 in err
    assert err.count("123456789") == 6


def test_an_epoch_is_a_plain_line_where_no_terminal_is(capsys: pytest.CaptureFixture[str]) -> None:
    with console.Terminal().bar("pretrain", 10) as bar:
        bar.advance(5)
        bar.line("epoch 1/2  loss 3.0000")
        bar.advance(5)
        bar.line("epoch 2/2  loss 2.0000")
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "pretrain  epoch 1/2  loss 3.0000\npretrain  epoch 2/2  loss 2.0000\n"


def test_a_terminal_gets_a_bar_with_speed_and_share(terminal: io.StringIO) -> None:
    with console.Terminal().bar("pretrain", 200, done=100) as bar:
        bar.advance(50)
        bar.line("epoch 3/4")
    seen = terminal.getvalue()
    assert "\x1b[" in seen
    assert all(text in seen for text in ("pretrain", "75 %", "images/s", "epoch 3/4"))


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = watched(monkeypatch)
    console.warn("careful")
    assert "\x1b[3" not in stream.getvalue()
    assert "warning:" in stream.getvalue()


def test_a_table_is_folded_where_the_terminal_is_narrow(terminal: io.StringIO) -> None:
    columns = ["run", "methods", *"abcdef"]
    rows = [[f"runs/{number}", "m" * 60, *["12345678901234"] * 6] for number in (1, 2)]
    console.show("title", columns, rows)
    lines = [line.rstrip() for line in re.sub(r"\x1b[^m]*m", "", terminal.getvalue()).splitlines()]
    assert max(map(len, lines)) <= 100
    assert [line.split()[0] for line in lines].count("runs/1") == 2
    assert sum(line.count("12345678901234") for line in lines) == 12
    assert [line.split() for line in lines if line.startswith("run ")] == [
        ["run", "methods", "a", "b"],
        ["run", *"cdef"],
    ]


@pytest.mark.parametrize("room", [1, 20, 80])
def test_every_column_is_in_one_part_and_a_part_fits_if_it_can(room: int) -> None:
    widths = [6, 3, 30, 4, 4, 100, 2]
    parts = console.fitting(widths, room)
    assert [each for part in parts for each in part[1:]] == [1, 2, 3, 4, 5, 6]
    for part in parts:
        assert part[0] == 0
        width = sum(widths[each] for each in part) + len(part) - 1
        assert width <= room or len(part) == 2
    assert console.fitting([7], room) == [[0]]
