"""What the hardware is good at, and how much it holds."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

import torch

OWN, CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
"""Where Linux says in which control groups a process is, and what these allow it."""


def multiplies_bf16(device: torch.device) -> bool:
    """Say whether the device has instructions for products in bf16, which make them cheap."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capable = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return bool(capable.get("avx512_bf16") or capable.get("amx_bf16"))


def memory() -> int:
    """Return the bytes of memory that a process may count on.

    The machine's, or less where its container, service or batch job has a limit; `SPICE_MEMORY`, in
    GiB, says otherwise.
    """
    if (said := _said("SPICE_MEMORY")) is not None:
        return said
    found = [_machine()]
    for file in _limits():
        with suppress(OSError, ValueError):
            found.append(int(file.read_text()))
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


def _limits() -> Iterator[Path]:
    """Name the files, of either version of control groups, that may limit this process's memory.

    A limit on any group that holds its own counts too, as the kernel has it.
    """
    groups = ["0::/", "0:memory:/"]
    with suppress(OSError, ValueError):
        groups += OWN.read_text().splitlines()
    for group in groups:
        _, controllers, path = [*group.split(":", 2), "", ""][:3]
        inside = PurePosixPath(path.lstrip("/"))
        for level in () if ".." in inside.parts else (inside, *inside.parents):
            if not controllers:
                yield CGROUPS / level / "memory.max"
            elif "memory" in controllers.split(","):
                yield CGROUPS / "memory" / level / "memory.limit_in_bytes"


def _machine() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 2**33
