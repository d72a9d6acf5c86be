"""Rows that a stage leaves: kept on the disk where that can be done, else in memory."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from spice_cli.data import mapped
from spice_cli.errors import InvalidError
from spice_cli.run.checkpoint import Checkpoint
from spice_cli.run.manifest import Stage
from spice_cli.stages import room
from spice_cli.stages.group import ALONE
from spice_cli.stages.room import Room
from spice_cli.track import Silent

N, D = 128, 512
"""Four shards of 64 KiB."""


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(room, "KEPT", 1)
    monkeypatch.setattr(mapped, "SHARD", 65536)
    checkpoint = Checkpoint(tmp_path, Stage.EMBED, "key")
    return SimpleNamespace(
        stage=Stage.EMBED,
        device=torch.device("cpu"),
        group=ALONE,
        checkpoint=checkpoint,
        checkpointed=checkpoint.load,
        checkpoint_seconds=0,
        saved=0,
        seconds=0,
        track=Silent(),
    )


def rows() -> torch.Tensor:
    return torch.randn(N, D, generator=torch.Generator().manual_seed(0))


def no_device(*_: object, **__: object) -> None:
    raise OSError(errno.ENODEV, "No such device")


@pytest.mark.parametrize("refused", ["mmap", "folder"])
def test_rows_that_fit_in_memory_need_no_file_that_can_be_mapped(
    job: Any, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    if refused == "mmap":
        monkeypatch.setattr(mapped, "_side_by_side", no_device)
    else:
        monkeypatch.setattr(room, "create", no_device)
    found = Room(job, N, D)
    for part in rows().split(10):
        found.put(part)
        found.save(torch.Generator())
    assert torch.equal(found.rows, rows())
    assert "no such device" in job.track.said[0] and "starts anew" in job.track.said[0]
    assert not job.checkpoint.rows.exists() and not job.checkpoint.path.exists()
    again = Room(job, N, D)
    assert again.done == 0


def test_what_was_checkpointed_before_is_not_taken_up_where_nothing_is_mapped(
    job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Room(job, N, D)
    first.put(rows()[:20])
    first.save(torch.Generator())
    monkeypatch.setattr(mapped, "_side_by_side", no_device)
    assert Room(job, N, D).done == 0
    assert not job.checkpoint.rows.exists()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_an_error_however_few_the_rows(
    job: Any, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def full(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(InvalidError, match="could not write") as caught:
        Room(job, N, D)
    assert "make room" in caught.value.hint
    assert not job.checkpoint.rows.exists()


def test_more_rows_than_memory_is_trusted_with_must_be_mapped(
    job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapped, "_side_by_side", no_device)
    monkeypatch.setattr(room, "MAPPED", 4 * N * D - 1)
    monkeypatch.setattr(room, "memory", lambda: 4 * 4 * N * D - 4)
    with pytest.raises(InvalidError, match="could not write.*no such device"):
        Room(job, N, D)
    monkeypatch.setattr(room, "memory", lambda: 4 * 4 * N * D)
    assert Room(job, N, D).rows.shape == (N, D)


def test_rows_are_on_the_disk_before_a_checkpoint_speaks_of_them(
    job: Any, synced: list[int | str]
) -> None:
    found = Room(job, N, D)
    shards = [shard.stat().st_ino for shard in sorted(job.checkpoint.rows.iterdir())]
    assert len(shards) == 4
    for part in rows().split(24):
        first = 4 * D * found.done // 65536
        found.put(part)
        last = (4 * D * found.done - 1) // 65536
        synced.clear()
        found.save(torch.Generator())
        told = synced.index(job.checkpoint.path.name)
        assert set(shards[first : last + 1]) <= set(synced[:told])
