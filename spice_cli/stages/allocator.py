"""Keeping freed memory for the next step, instead of giving it back and faulting it in again."""

import ctypes
import platform
from functools import cache

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3


@cache
def keep_freed_memory() -> bool:
    """Make glibc's malloc hold on to freed memory; return whether it agreed, once a process.

    A training step on a CPU frees and takes the same hundreds of megabytes again; by default each
    tensor is mapped anew and every page of it faults. Elsewhere than on glibc nothing is done.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    wanted = {M_MMAP_THRESHOLD: 2**30, M_TRIM_THRESHOLD: 2**31 - 1, M_TOP_PAD: 2**26}
    return all([mallopt(key, value) for key, value in wanted.items()])
