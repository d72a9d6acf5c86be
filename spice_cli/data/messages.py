"""What the messages of an Arrow stream unpack to, by their headers, before anything is unpacked.

https://arrow.apache.org/docs/format/Columnar.html#recordbatch-message, whose headers are tables of
FlatBuffers: https://flatbuffers.dev/internals/
"""

import struct
from pathlib import Path

import pyarrow as pa

from spice_cli.data.unpacked import most_unpacked

DICTIONARY, BATCH = 2, 3
"""Kinds of messages that hold columns."""


def check_messages(file: Path) -> None:
    """Refuse a stream of which a message would unpack too far, or that is mostly holes.

    Raises ValueError for that; what is no stream is as `pyarrow` raises it.
    """
    most = most_unpacked(file)
    if file.stat().st_size > most:
        raise ValueError("it is mostly holes, which take no room on the disk")
    with pa.memory_map(str(file)) as mapped:
        for message in pa.ipc.MessageReader.open_stream(mapped):
            if (size := _unpacked(message)) > most:
                raise ValueError(
                    f"a batch unpacks to {size / 2**20:,.0f} MiB, over {most / 2**20:,.0f}"
                )


def _unpacked(message: pa.ipc.Message) -> int:
    """Return the bytes that the buffers of a message unpack to; 0 where they are not packed."""
    header, body = memoryview(message.metadata), message.body
    try:
        root = _at("<I", header, 0)
        kind = _at("<B", header, _field(header, root, 1))
        if kind not in (DICTIONARY, BATCH):
            return 0
        table = _followed(header, _field(header, root, 2))
        if kind == DICTIONARY:
            table = _followed(header, _field(header, table, 1))
        if not _field(header, table, 3):
            return 0
        buffers, size = _followed(header, _field(header, table, 2)), 0
        for number in range(_at("<I", header, buffers)):
            start, length = struct.unpack_from("<qq", header, buffers + 4 + 16 * number)
            size += max(_at("<q", memoryview(body), start), length) if length >= 8 else 0
        return size
    except struct.error as error:
        raise ValueError(f"a message has no header: {error}") from None


def _field(header: memoryview, table: int, slot: int) -> int:
    """Return where a field of a table lies; 0 where it has none."""
    names = table - _at("<i", header, table)
    if 4 + 2 * slot >= _at("<H", header, names):
        return 0
    offset = _at("<H", header, names + 4 + 2 * slot)
    return table + offset if offset else 0


def _followed(header: memoryview, place: int) -> int:
    return place + _at("<I", header, place)


def _at(kind: str, content: memoryview, place: int) -> int:
    if place < 0:
        raise struct.error("it points before its begin")
    return int(struct.unpack_from(kind, content, place)[0])
