"""What the pages of a Parquet column unpack to, by their headers, before anything is unpacked.

https://parquet.apache.org/docs/file-format/data-pages/ and the Thrift compact protocol:
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

DATA, DICTIONARY, DATA_2 = 0, 2, 3
"""Kinds of pages."""
LOOKED_UP, PREFIXED = (2, 8), 7
"""Encodings in which a few bytes stand for a value of any length."""
DEEPEST = 8


@dataclass(frozen=True)
class Page:
    """`values` values in `size` bytes; each of them may take as many as `each`, where that is."""

    values: int
    size: int
    each: int | None

    def holds(self, values: int) -> int:
        """Return the most bytes that some of its values take."""
        if not values:
            return 0
        return self.size if self.each is None else self.size + values * self.each


def pages(file: BinaryIO, start: int, values: int, most: int) -> Iterator[Page]:
    """Yield the pages of a column chunk of so many values, in their order.

    Raises ValueError for one that unpacks to more than `most` bytes, and for what is no page.
    """
    file.seek(start)
    dictionary = prefixes = 0
    while values > 0:
        header = _struct(file)
        kind, size, packed = (_whole(header.get(field)) for field in (1, 2, 3))
        if size > most:
            raise ValueError(f"a page unpacks to {size / 2**20:,.0f} MiB, over {most / 2**20:,.0f}")
        if kind == DICTIONARY:
            dictionary = size
        elif kind in (DATA, DATA_2):
            told = header.get(5 if kind == DATA else 8) or {}
            count, encoding = _whole(told.get(1)), told.get(2 if kind == DATA else 4)
            prefixes += size if encoding == PREFIXED else 0
            each = dictionary if encoding in LOOKED_UP else prefixes
            yield Page(count, size, each if encoding in (*LOOKED_UP, PREFIXED) else None)
            values -= count
        file.seek(packed, os.SEEK_CUR)


def heaviest(found: list[Page], rows: int) -> int:
    """Return the most bytes that one of the batches of so many rows takes."""
    most = held = at = 0
    for page in found:
        rest = min(rows - at % rows, page.values)
        most = max(most, held := held + page.holds(rest))
        if at % rows + page.values >= rows:
            most = max(most, page.holds(min(rows, page.values - rest)))
            held = page.holds((at + page.values) % rows)
        at += page.values
    return max(most, held)


def _whole(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError("a page has no size")
    return value


def _struct(file: BinaryIO, depth: int = 0) -> dict[int, Any]:
    if depth > DEEPEST:
        raise ValueError("a page's header is nested too deeply")
    found: dict[int, Any] = {}
    field = 0
    while head := _byte(file):
        field = field + (head >> 4) if head >> 4 else _signed(file)
        found[field] = _value(file, head & 15, depth)
    return found


def _value(file: BinaryIO, kind: int, depth: int) -> Any:
    match kind:
        case 1 | 2:  # in a field, true and false take no byte of their own
            return None
        case 3:
            return _byte(file)
        case 4 | 5 | 6:
            return _signed(file)
        case 7:
            return file.seek(8, os.SEEK_CUR) and None
        case 8:
            return file.seek(_unsigned(file), os.SEEK_CUR) and None
        case 12:
            return _struct(file, depth + 1)
    raise ValueError("a page's header is none")


def _byte(file: BinaryIO) -> int:
    if not (read := file.read(1)):
        raise ValueError("it ends within a page's header")
    return read[0]


def _unsigned(file: BinaryIO) -> int:
    value = shift = 0
    while shift < 64:
        byte = _byte(file)
        value |= (byte & 127) << shift
        if byte < 128:
            return value
        shift += 7
    raise ValueError("a page's header has too large a number")


def _signed(file: BinaryIO) -> int:
    value = _unsigned(file)
    return value >> 1 ^ -(value & 1)
