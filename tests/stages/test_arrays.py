import json
import struct
from contextlib import suppress
from pathlib import Path

import pytest

from spice_cli.errors import InvalidError
from spice_cli.stages.arrays import embeddings_of


@pytest.mark.parametrize("shape", [[2**63, 0], [2**64 - 1, 0], [0, 2**62, 4], [2**20, 2**20]])
@pytest.mark.parametrize("name", ["embeddings", "weak"])
def test_a_shape_that_cannot_be_is_refused(name: str, shape: list[int], tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    entries = {
        "embeddings": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
        name: {"dtype": "F32", "shape": shape, "data_offsets": [16, 16]},
    }
    if name == "embeddings":
        entries["b"] = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
    head = json.dumps(entries).encode()
    file.write_bytes(struct.pack("<Q", len(head)) + head + struct.pack("<4f", 1, 2, 3, 4))
    with suppress(InvalidError):
        embeddings_of(file)
        assert name == "weak"
