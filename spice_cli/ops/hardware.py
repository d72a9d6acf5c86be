"""What the hardware is good at, and how much it holds."""

import os
from pathlib import Path

import torch

LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def multiplies_bf16(device: torch.device) -> bool:
    """Say whether the device has instructions for products in bf16, which make them cheap."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capable = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return bool(capable.get("avx512_bf16") or capable.get("amx_bf16"))


def memory() -> int:
    """Return the bytes of memory that a process may count on.

    The machine's, or less where its container has a limit; `SPICE_MEMORY`, in GiB, says otherwise.
    """
    if (said := _said("SPICE_MEMORY")) is not None:
        return said
    found = [_machine()]
    for name in LIMITS:
        try:
            found.append(int(Path(name).read_text()))
        except (OSError, ValueError):
            continue
    return min(found)


def free_memory(device: torch.device) -> int:
    """Return the bytes that a GPU has free, with those that torch holds there and does not use.

    `SPICE_DEVICE_MEMORY`, in GiB, says otherwise.
    """
    if (said := _said("SPICE_DEVICE_MEMORY")) is not None:
        return said
    free, _ = torch.cuda.mem_get_info(device)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(free + unused)


def _said(name: str) -> int | None:
    try:
        return int(float(os.environ[name]) * 2**30)
    except (KeyError, ValueError):
        return None


def _machine() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 2**33
