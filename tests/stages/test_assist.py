"""What the other processes of a group say when they cannot go on."""

import errno

import pytest
import torch
from torch.distributed import HashStore

from spice_cli.errors import InvalidError, MissingError, ShortError, SpiceError
from spice_cli.ops.collective import LostError, reaching
from spice_cli.run.manifest import Stage
from spice_cli.stages import assist
from spice_cli.stages.assist import serve
from spice_cli.stages.computing import computing
from spice_cli.stages.group import Group
from spice_cli.stages.peers import SHARED, reason

CPU = torch.device("cpu")


class Asked(Group):
    """The second process, asked to compute something."""

    def told(self, text: str) -> str:
        return "{}"


def served(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> tuple[BaseException, str]:
    """Return how a process ends where an error comes up, and the reason it leaves."""

    def fails(group: Group, asked: object) -> None:
        with computing(Stage.SEMI, CPU, False):
            raise error

    monkeypatch.setattr(assist, "_assist", fails)
    monkeypatch.setattr(assist, "GRACE", 0)
    store = HashStore()
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        serve(Asked(rank=1, world=2, store=store))
    return caught.value, reason(store)


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (InvalidError("it is wrong", hint="try"), InvalidError, "it is wrong"),
        (MemoryError(), ShortError, "there is not enough memory"),
        (torch.OutOfMemoryError(), ShortError, "`semi` needs more memory than cpu has"),
        (
            OSError(errno.ENOSPC, "full", "/a/b"),
            InvalidError,
            "could not use `/a/b`: no space left on device",
        ),
        (FileNotFoundError(errno.ENOENT, "no", "c"), InvalidError, "could not use `c`: no such"),
    ],
)
def test_every_process_says_of_a_failure_what_one_alone_would(
    error: BaseException,
    kind: type[SpiceError],
    text: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("GROUP_WORLD_SIZE", raising=False)
    raised, left = served(error, monkeypatch)
    assert type(raised) is kind
    assert str(raised).startswith(f"process 1: {text}")
    assert left == str(raised)


def test_on_several_hosts_only_what_may_differ_between_them_is_put_down_to_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GROUP_WORLD_SIZE", "2")

    def hint(error: BaseException) -> str:
        raised = served(error, monkeypatch)[0]
        assert isinstance(raised, SpiceError)
        return raised.hint

    assert hint(MissingError("gone", hint="make it")) == SHARED
    assert hint(OSError(errno.ENOENT, "no", "c")) == SHARED
    assert "make room" in hint(OSError(errno.ENOSPC, "full", "c"))
    assert "batch_size=64" in hint(torch.OutOfMemoryError())


@pytest.mark.parametrize("error", [ValueError("a bug"), OSError(errno.EPIPE, "odd")])
def test_a_bug_keeps_its_traceback(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    assert served(error, monkeypatch) == (error, "")


def test_a_process_without_memory_is_not_one_that_is_lost() -> None:
    with pytest.raises(torch.OutOfMemoryError), reaching():
        raise torch.OutOfMemoryError
    with pytest.raises(LostError, match="reset"), reaching():
        raise RuntimeError("reset by peer")


def test_memory_that_torch_does_not_get_is_one_error() -> None:
    with pytest.raises(ShortError, match="not enough memory"), computing(Stage.SEMI, CPU, False):
        torch.empty(2**56, dtype=torch.uint8)
