from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from spice_cli.config.self_label import SelfLabel
from spice_cli.heads.spice_config import SpiceConfig
from spice_cli.heads.spice_rounds import Rounds
from spice_cli.stages.graph import WARM_UP, graphed

CUDA = torch.device("cuda")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


class Machine:
    """Stands in for `torch.cuda`: a capture runs nothing, a replay runs what was captured."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fault: Exception | None = None) -> None:
        self.capturing = self.replays = 0
        self.captured: Callable[[], Any] | None = None
        self.weight = torch.zeros(())
        stream = type("Stream", (), {"wait_stream": lambda self, other: None})
        machine = self

        class CUDAGraph:
            def replay(self) -> None:
                assert machine.captured is not None
                machine.replays += 1
                machine.captured()

        @contextmanager
        def graph(_: CUDAGraph, stream: object) -> Iterator[None]:
            machine.capturing += 1
            try:
                yield
            finally:
                machine.capturing -= 1
                if fault:
                    raise fault

        for name, value in {
            "Stream": lambda device: stream(),
            "current_stream": lambda device: stream(),
            "stream": lambda _: nullcontext(),
            "synchronize": lambda device: None,
            "CUDAGraph": CUDAGraph,
            "graph": graph,
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)

    def step(self, x: Tensor, y: Tensor) -> Tensor:
        """Change a weight by the inputs and return it."""
        if not self.capturing:
            self.weight += (x * y).sum()
            return self.weight.clone()
        result = torch.zeros(())
        self.captured = lambda: result.copy_(self.weight.add_((x * y).sum()))
        return result


def follow(step: Callable[..., Tensor], calls: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [step(*torch.randn(2, 3, generator=generator)) for _ in range(calls)]


def test_on_a_cpu_a_step_is_itself() -> None:
    step = Machine.step
    assert graphed(step, torch.device("cpu"), print) is step


def test_every_call_does_the_work_of_the_step_once(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, ours = Machine(monkeypatch), Machine(monkeypatch)
    warnings: list[str] = []
    found = follow(graphed(ours.step, CUDA, warnings.append), WARM_UP + 4)
    assert torch.equal(torch.stack(found), torch.stack(follow(plain.step, WARM_UP + 4)))
    assert torch.equal(ours.weight, plain.weight)
    assert ours.replays == 4
    assert warnings == []


@pytest.mark.parametrize("fault", [RuntimeError("not permitted\nmore"), torch.AcceleratorError("")])
def test_a_failed_capture_is_told_once_and_the_step_goes_on(
    monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    plain, ours = Machine(monkeypatch), Machine(monkeypatch, fault)
    warnings: list[str] = []
    found = follow(graphed(ours.step, CUDA, warnings.append), WARM_UP + 4)
    assert torch.equal(torch.stack(found), torch.stack(follow(plain.step, WARM_UP + 4)))
    assert ours.replays == 0
    (warning,) = warnings
    assert warning.startswith("no CUDA graph, and slower for it: ")
    assert "more" not in warning


def heads(wrap: Callable[..., Any]) -> tuple[Rounds, Tensor, torch.Generator]:
    generator = torch.Generator(CUDA).manual_seed(0)
    x = torch.randn(300, 16, generator=generator, device=CUDA)
    config = SelfLabel(heads=4, batch_size=50)
    return Rounds(16, 3, config, SpiceConfig(), generator, wrap=wrap), F.normalize(x), generator


@needs_gpu
def test_a_gpu_trains_heads_alike_with_and_without_a_graph() -> None:
    warnings: list[str] = []
    found = []
    for wrap in (lambda walk: walk, lambda walk: graphed(walk, CUDA, warnings.append)):
        method, x, generator = heads(wrap)
        losses = [method.train(x, method.label(x, x), generator) for _ in range(3)]
        found.append(torch.stack([*losses, method.score(x, x)[0]]))
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-3)
    assert warnings == []


@needs_gpu
def test_on_a_gpu_a_round_of_self_labelling_never_waits() -> None:
    method, x, generator = heads(lambda walk: graphed(walk, CUDA, print))
    try:
        for mode in ("default", "error"):
            torch.cuda.set_sync_debug_mode(mode)
            method.train(x, method.label(x, x), generator)
    finally:
        torch.cuda.set_sync_debug_mode("default")
