import io
import json

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
