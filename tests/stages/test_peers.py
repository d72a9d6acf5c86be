import json
import shlex
import sys
from threading import Thread

import pytest
from torch.distributed import HashStore

from spice_cli.errors import UsageError
from spice_cli.stages import peers
from spice_cli.stages.peers import introduce, leave, named, reason


def two(store: HashStore) -> list[str]:
    """Introduce two processes to each other; return what they raise."""
    raised: list[str] = []

    def meet(rank: int) -> None:
        try:
            introduce(store, rank, 2)
        except UsageError as error:
            raised.append(str(error))

    threads = [Thread(target=meet, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_processes_that_were_started_alike_meet() -> None:
    assert two(HashStore()) == []


@pytest.mark.parametrize("what", ["`spice`", "`torch`", "accelerator", "arguments"])
def test_both_say_what_is_not_alike(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    own = peers._self()
    others = iter([{**own, "host": "a"}, {**own, "host": "b", what: "other"}])
    monkeypatch.setattr(peers, "_self", lambda: next(others))
    monkeypatch.setattr(peers, "HEARD", 0)
    said = two(HashStore())
    assert len(said) == 2
    assert said[0] == said[1]
    assert f"with {what} `" in said[0]
    assert "`other`" in said[0]


def test_arguments_are_told_as_they_would_be_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["spice", "pretrain", "my images"])
    store = HashStore()
    introduce(store, 0, 1)
    told = json.loads(store.get("process-0"))["arguments"]
    assert shlex.split(told) == ["pretrain", "my images"]


def test_what_a_process_leaves_is_read_once_it_is_gone() -> None:
    store = HashStore()
    introduce(store, 0, 1)
    assert reason(store) == ""
    leave(store, "the disk is full")
    assert reason(store) == "the disk is full"
    introduce(store, 0, 1)
    assert reason(store) == ""
    assert reason(None) == ""


def test_a_host_is_named_only_where_there_are_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GROUP_WORLD_SIZE", raising=False)
    assert named(1) == "process 1"
    monkeypatch.setenv("GROUP_WORLD_SIZE", "2")
    assert named(1).startswith("process 1 on `")
