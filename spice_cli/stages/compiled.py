"""Compiling the backbones of what is trained, in place, where it pays and where it works."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from spice_cli.config.frozen import Compile
from spice_cli.models.backbone import Backbone

LONG = 5_000
"""Steps from which a minute of compiling comes back."""


def compiled(
    model: nn.Module,
    choice: Compile,
    *,
    steps: int,
    rehearse: Callable[[], Tensor],
    warn: Callable[[str], None],
    backend: str | Callable[..., object] = "inductor",
) -> bool:
    """Compile every trained or trailing `Backbone` inside `model`, or leave it as it is.

    `rehearse` returns the loss of a step like those to come, of the same shapes; it is run forward
    and backward, for then the compiler works, and may fail: a compiler, its headers or a kernel
    may be missing. After a failure `warn` is told why, and the model runs uncompiled. Parameters,
    buffers and the names in the state dict are what they were; copies of the model are uncompiled.
    """
    device = next(model.parameters()).device
    if choice == "off" or (choice == "auto" and (device.type != "cuda" or steps < LONG)):
        return False
    backbones = [module for module in model.modules() if isinstance(module, Backbone)]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    mode = "reduce-overhead" if choice == "graphs" and device.type == "cuda" else None
    for backbone in backbones:
        backbone.compile(backend=backend, dynamic=False, mode=mode)
    try:
        torch.autograd.backward(rehearse())
        return True
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        for backbone in backbones:
            backbone._compiled_call_impl = None
        cause = getattr(error, "inner_exception", error)
        reason = (str(cause).strip() or type(cause).__name__).splitlines()[0]
        warn(f"not compiled, and slower for it (`compile=off` spares the attempt): {reason}")
        return False
    finally:
        model.zero_grad(set_to_none=True)
        model.load_state_dict(before)
