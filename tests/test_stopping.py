"""Signals end the program, wherever it is when they come."""

import os
import signal
import sys
import time
import weakref
from types import SimpleNamespace

import pytest

from spice_cli import stopping
from spice_cli.stopping import WORDS, Stopped, stoppable


class Thing:
    pass


@pytest.mark.parametrize("number", WORDS)
def test_the_first_signal_is_raised_and_the_next_is_the_systems(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Stopped) as caught, stoppable():
        signal.raise_signal(number)
    assert caught.value.number == number
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("system", ["posix", "nt"])
@pytest.mark.parametrize("number", WORDS)
def test_a_signal_that_comes_while_python_ignores_what_is_raised_is_raised_again(
    number: signal.Signals, system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook, reached = sys.unraisablehook, []
    if system == "nt":  # where `os.kill` ends the process
        monkeypatch.setattr(stopping, "os", SimpleNamespace(name="nt", getpid=os.getpid))

    def gone(_: object) -> None:
        signal.raise_signal(number)
        reached.append("not here")

    with pytest.raises(Stopped) as caught, stoppable():
        thing = Thing()
        kept = weakref.ref(thing, gone)
        del thing
        assert kept() is None
        for _ in range(1000):
            time.sleep(0.01)
    assert caught.value.number == number
    assert not reached
    assert sys.unraisablehook is hook


def test_what_else_is_ignored_is_told_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: told.append(what.exc_value))

    def gone(_: object) -> None:
        raise RuntimeError("another")

    with stoppable():
        thing = Thing()
        kept = weakref.ref(thing, gone)
        del thing
    assert kept() is None
    assert [str(each) for each in told] == ["another"]
