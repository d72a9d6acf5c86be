"""What lies on the disk is worked through with less memory than it would take."""

import subprocess
import sys

import pytest

CODE = """
import re, resource, sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import torch

from spice_cli.data import mapped
from spice_cli.ops.augment import plain
from spice_cli.ops.shuffle import shuffled, window_of
from spice_cli.run.checkpoint import Checkpoint
from spice_cli.run.manifest import Stage
from spice_cli.run.tensors import save
from spice_cli.stages.features import unit_rows
from spice_cli.stages.group import ALONE
from spice_cli.stages.room import Room

torch.set_num_threads(1)
folder, kind = Path(sys.argv[1]), sys.argv[2]
shape = (130_000, 3, 32, 32)
mapped.SHARD = 2**26
generator = torch.Generator().manual_seed(0)
job = SimpleNamespace(
    autocast=nullcontext,
    device=torch.device("cpu"),
    group=ALONE,
    checkpoint=Checkpoint(folder, Stage.EMBED, "key"),
    checkpointed=lambda: None,
    checkpoint_seconds=0,
    saved=0,
    seconds=0,
)


def look(images):
    corner = lambda pixels: pixels[:, :2, :16, :16].flatten(1) + 1
    room = Room(job, len(images), 512)
    for part in torch.split(images, 512):
        room.put(unit_rows(corner, part, plain, job))
        room.save(generator) if room.done % 10240 == 0 else None
    return room.rows


def limit(more):
    used = re.search(r"VmData:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]
    resource.setrlimit(resource.RLIMIT_DATA, (int(used) * 1024 + more,) * 2)


look(torch.zeros(3600, *shape[1:], dtype=torch.uint8))
save(folder / "small", {"x": torch.zeros(5_000_000)}, {})
torch.randperm(shape[0], generator=generator)
limit(150 * 2**20)
if kind == "memory":
    images = torch.zeros(shape, dtype=torch.uint8)
pixels = mapped.create(folder / "images", 3072 * shape[0]).array().reshape(shape)
images = torch.from_numpy(pixels)
window, block = window_of(images, 2**28)
assert window
for rows in torch.split(shuffled(len(images), generator, window=window, block=block), 512)[:50]:
    images[rows].float()
rows = look(images)
assert len(list((folder / "embed.checkpoint.rows").iterdir())) == 4
print(save(folder / "rows", {"embeddings": rows}, {})[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits and /proc as Linux has them")
@pytest.mark.parametrize("kind", ["disk", "memory"])
def test_400_megabytes_of_images_are_embedded_with_150_more(tmp_path, kind: str) -> None:
    call = [sys.executable, "-c", CODE, str(tmp_path), kind]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    if kind == "memory":
        assert "not enough memory" in done.stderr or "can't allocate memory" in done.stderr
    else:
        assert not done.stderr
        assert int(done.stdout) > 4 * 512 * 130_000
