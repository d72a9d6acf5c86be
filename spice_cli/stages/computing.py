"""How a device is set up while a stage computes on it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from spice_cli.errors import InvalidError, ShortError
from spice_cli.run.manifest import Stage
from spice_cli.stages.allocator import keep_freed_memory
from spice_cli.stages.job import setting


@contextmanager
def computing(stage: Stage, device: torch.device, deterministic: bool) -> Iterator[None]:
    """Let a GPU look for its fastest convolutions, and a CPU keep the memory it has.

    Where `deterministic`, torch takes only algorithms that give the same bytes every time, on a GPU
    too. The environment must hold `CUBLAS_WORKSPACE_CONFIG` before CUDA starts
    (https://docs.pytorch.org/docs/stable/notes/randomness.html).

    Raises:
        InvalidError: the device has no such algorithm for something that the stage computes.
        ShortError: there is not enough memory for it.
    """
    if device.type == "cpu":
        keep_freed_memory()
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = not deterministic
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(deterministic or before)
    try:
        yield
    except torch.OutOfMemoryError:
        raise ShortError(
            f"`{stage}` needs more memory than {device} has",
            hint=f"smaller batches need less: {setting(stage, batch_size=64)}",
        ) from None
    except RuntimeError as error:
        if "DefaultCPUAllocator" in str(error):
            raise ShortError("there is not enough memory") from None
        if not deterministic or "deterministic" not in str(error):
            raise
        raise InvalidError(
            f"{device} has no deterministic way to compute `{stage}`: {str(error).split('.')[0]}",
            hint="leave out `--deterministic`, or compute with `--device cpu`",
        ) from None
    finally:
        torch.use_deterministic_algorithms(before)
