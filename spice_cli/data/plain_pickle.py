"""Pickles of arrays, numbers, texts and what holds them, and of nothing that runs code.

https://docs.python.org/3/library/pickle.html#restricting-globals
"""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any, BinaryIO

KNOWN = {
    *((f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}
"""What the arrays of a pickle are made with."""


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in KNOWN:
            raise pickle.UnpicklingError(f"it wants `{module}.{name}`, which no array needs")
        return super().find_class(module, name)


def load_plain(file: BinaryIO, **options: Any) -> Any:
    """Load what lies in an open file, as `pickle.load` does.

    Raises:
        UnpicklingError: it names a function or class that is not among `KNOWN`.
    """
    return _Plain(file, **options).load()


@contextmanager
def plain_pickles(module: ModuleType) -> Iterator[None]:
    """Let a module that calls `pickle.load` load plain pickles alone."""
    before = module.__dict__["pickle"]
    module.__dict__["pickle"] = SimpleNamespace(load=load_plain)
    try:
        yield
    finally:
        module.__dict__["pickle"] = before
