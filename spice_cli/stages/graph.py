"""Replaying a step as one CUDA graph, so that starting its kernels costs the host nothing."""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

Step = Callable[..., Tensor]
WARM_UP = 3
"""Calls before the capture: what libraries and the optimiser keep is allocated in them."""


def graphed(step: Step, device: torch.device, warn: Callable[[str], None]) -> Step:
    """Return the step itself or, on a GPU, what does the same as one CUDA graph from call 4 on.

    A step takes tensors, the same shapes and types in every call, and returns one. Whatever else
    it reads or changes must stay where it is in memory; it must not wait for the device nor draw
    random numbers, and its optimiser is made with `capturable=True`. All calls are real work. If
    the capture fails, `warn` is told once, and the step goes on as it is written.

    https://docs.pytorch.org/docs/stable/notes/cuda.html#whole-network-capture
    """
    return _Graphed(step, device, warn) if device.type == "cuda" else step


class _Graphed:
    def __init__(self, step: Step, device: torch.device, warn: Callable[[str], None]) -> None:
        self.step, self.device, self.warn = step, device, warn
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inputs: list[Tensor] = []
        self.output: Tensor | None = None

    def __call__(self, *tensors: Tensor) -> Tensor:
        self.calls += 1
        if self.calls <= WARM_UP:
            return self._aside(tensors)
        if self.calls == WARM_UP + 1:
            self._capture(tensors)
        if self.graph is None or self.output is None:
            return self.step(*tensors)
        for static, given in zip(self.inputs, tensors, strict=True):
            static.copy_(given)
        self.graph.replay()
        return self.output.clone()

    def _aside(self, tensors: tuple[Tensor, ...]) -> Tensor:
        """Call the step on the stream that will be captured, in order with the current one."""
        self.stream.wait_stream(torch.cuda.current_stream(self.device))
        with warnings.catch_warnings(), torch.cuda.stream(self.stream):
            warnings.filterwarnings("ignore", ".*capturable=True.*without CUDA graph capture")
            result = self.step(*tensors)
        torch.cuda.current_stream(self.device).wait_stream(self.stream)
        return result

    def _capture(self, tensors: tuple[Tensor, ...]) -> None:
        """Record the step's kernels, none of which runs, on inputs and an output of its own."""
        try:
            self.inputs = [tensor.clone() for tensor in tensors]
            torch.cuda.synchronize(self.device)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=self.stream):
                self.output = self.step(*self.inputs)
            self.graph = graph
        except RuntimeError as error:
            self.inputs, self.output = [], None
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            self.warn(f"no CUDA graph, and slower for it: {reason}")
