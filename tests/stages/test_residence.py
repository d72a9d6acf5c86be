"""Images that a device has no room for stay in memory, and stages compute the same bytes."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from spice_cli.data.dataset import Dataset
from spice_cli.ops import residence
from spice_cli.run.store import Run
from spice_cli.stages import images as rooms
from spice_cli.stages import job as jobs
from spice_cli.stages.images import images_of

Spice = Callable[..., Any]
LARGEST = 512
"""Images in one transfer at most, of 1,797."""


class Kept(Tensor):
    """Images in memory that the device cannot read: they can be split, picked from and sent."""

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        name = func.__name__
        at = sys._getframe(1).f_code.co_filename
        picks = name == "__getitem__" and isinstance(args[1], Tensor)
        known = {"__getitem__", "__get__", "__len__", "split", "as_subclass", "__repr__"}
        if name not in known or (picks and at != residence.__file__):
            raise AssertionError(f"`{name}` of images that are not on the device")
        return super().__torch_function__(func, types, args, kwargs or {})


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Pretend that the device has no room; list how many images each transfer moves."""
    found: list[int] = []

    def brought(images: Tensor, device: torch.device) -> Tensor:
        if isinstance(images, Kept):
            found.append(len(images))
            return images.as_subclass(Tensor)
        return images

    def settled(images: Tensor, device: torch.device, say: object) -> Tensor:
        return images.as_subclass(Kept)

    def kept(run: Run, say: Callable[[str], None]) -> Dataset:
        data = images_of(run, say)
        return replace(data, images=data.images.as_subclass(Kept))

    monkeypatch.setattr(residence, "beside", lambda images, device: not isinstance(images, Kept))
    for name in ("ops.residence", "stages.rows", "stages.classify", "stages.features"):
        monkeypatch.setattr(f"spice_cli.{name}.brought", brought)
    monkeypatch.setattr("spice_cli.stages.source.brought", brought)
    monkeypatch.setattr("spice_cli.stages.semi_start.images_of", kept)
    monkeypatch.setattr(rooms, "settled", settled)
    monkeypatch.setattr(jobs, "settled", settled)
    return found


def test_every_stage_leaves_the_same_bytes_and_moves_batches_alone(
    spice: Spice,
    finished: Path,
    tiny: Path,
    tmp_path: Path,
    digests: Callable[[Path], dict[str, str]],
    sent: list[int],
) -> None:
    run, moved = tmp_path / "r", []
    for stage in ("pretrain", "embed", "self-label", "select-reliable", "semi"):
        first = ("digits", "--recipe", tiny) if stage == "pretrain" else ()
        spice(stage, *first, "-r", run)
        moved.append(max(sent, default=0))
        sent.clear()
    assert digests(run) == digests(finished)
    pretrain, embed, self_label, select, semi = moved
    assert 0 < pretrain <= 256
    assert all(0 < most <= LARGEST for most in (embed, self_label, semi))
    assert select == 0


@pytest.mark.parametrize(
    "line",
    [
        ("pretrain", "--method", "propos", "--epochs", 1, "--set", "compile=off"),
        ("embed", "--views", 1, "--set", "flip=true"),
        ("self-label", "--method", "scan", "--epochs", 1, "--set", "backbone=train"),
        ("self-label", "--method", "scan", "--epochs", 1, "--self-label"),
        ("semi", "--method", "joint", "--steps", 20),
    ],
    ids=lambda line: " ".join(map(str, line)),
)
def test_so_do_other_methods(
    line: tuple[object, ...],
    spice: Spice,
    copied: Path,
    digests: Callable[[Path], dict[str, str]],
    request: pytest.FixtureRequest,
) -> None:
    if "--self-label" in line:
        line += ("--set", "confident.threshold=0.1", "--set", "confident.epochs=1")
    spice(*line, "-r", copied)
    expected = digests(copied)
    sent = request.getfixturevalue("sent")
    spice(*line, "-r", copied, "--force")
    assert digests(copied) == expected
    assert 0 < max(sent) <= LARGEST


def test_images_go_to_the_device_that_has_twice_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, said = torch.zeros(8, 3, 4, 4, dtype=torch.uint8), []
    for free, device in ((2 * pixels.nbytes, "meta"), (2 * pixels.nbytes - 1, "cpu")):
        monkeypatch.setattr(rooms, "free_memory", lambda device, free=free: free)
        found = rooms.settled(pixels, torch.device("meta"), said.append)
        assert found.device.type == device
    assert found is pixels
    (line,) = said
    assert "stay in memory and come batch by batch" in line
    monkeypatch.setattr(rooms, "free_memory", lambda device: 0)
    assert rooms.settled(pixels, torch.device("cpu"), said.append) is pixels
