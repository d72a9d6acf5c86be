"""Room for the rows that a stage leaves, in memory or in shards on the disk, and how many are done.

Shards outlive the process: whoever goes on with the stage has the rows that were checkpointed.
Where files cannot be mapped to be written, as on some shared folders, few enough rows stay in
memory, and nothing is kept.
"""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor

from spice_cli.data.mapped import Mapped, create
from spice_cli.errors import FULL
from spice_cli.ops.hardware import memory
from spice_cli.run.files import naming
from spice_cli.run.tensors import MAPPED, bytes_of
from spice_cli.stages.job import Job

KEPT = 2**22
"""Bytes from which rows that a CPU computes are kept; fewer are soon there again."""


def kept(size: int, device: torch.device) -> bool:
    """Tell whether so many bytes of rows are kept on the disk until their stage is done."""
    return size >= (KEPT if device.type == "cpu" else MAPPED)


class Room:
    """Rows (n, d) float32, put there from the first to the last.

    Of the processes of a group only the first has them; of the others, `rows` is empty.
    """

    def __init__(self, job: Job[Any], n: int, d: int) -> None:
        """Make room, or find what an earlier attempt left.

        Raises:
            InvalidError: the disk has no room, or the checkpoint is damaged.
        """
        self.job, self.shape, self.done, self.saved = job, (n, d), 0, 0
        self.digest = hashlib.sha256()
        self.state: Tensor | None = None
        self.shards: Mapped | None = None
        self.rows = torch.empty(0, d, device=job.device)
        if job.group.rank == 0:
            if kept(4 * n * d, job.device):
                self._open()
            else:
                self.rows = torch.empty(n, d, device=job.device)
        self._agree()
        if self.done:
            job.track.say(f"`{job.stage}` goes on after {self.done:,} of {n:,} rows")

    def put(self, rows: Tensor) -> None:
        """Add rows (b, d) to those that are done."""
        end = self.done + len(rows)
        if len(self.rows):
            own = self.rows[self.done : end]
            own.copy_(rows)
            if self.shards:
                self.digest.update(bytes_of(own))
        self.done = end

    def save(self, generator: torch.Generator) -> None:
        """Checkpoint the rows, and where random numbers have come to, if it is time."""
        job = self.job
        if not self.shards or time.monotonic() - job.saved < job.checkpoint_seconds:
            return
        width = 4 * self.shape[1]
        with naming(self.shards.folder):
            self.shards.flush(width * self.saved, width * self.done)
        notes: dict[str, JsonValue] = {
            "rows": self.done,
            "sha256": self.digest.hexdigest(),
            "seconds": job.seconds,
        }
        job.checkpoint.save({"generator": generator.get_state()}, notes)
        self.saved, job.saved = self.done, time.monotonic()

    def _open(self) -> None:
        n, d = self.shape
        found = self.job.checkpointed()
        folder, size = self.job.checkpoint.rows, 4 * n * d
        with naming(folder):
            if found is not None:
                self._take(*found)
            if self.shards is None:
                self.shards = self._made(folder, size)
        if self.shards is None:
            self.rows = torch.empty(n, d)
        else:
            self.rows = torch.from_numpy(self.shards.array().view(np.float32).reshape(n, d))

    def _made(self, folder: Path, size: int) -> Mapped | None:
        """Make shards; none where that cannot be done and memory holds so much, which is said."""
        try:
            return create(folder, size)
        except OSError as error:
            if error.errno in FULL or size > max(MAPPED, memory() // 4):
                raise
            reason = (error.strerror or type(error).__name__).lower()
            self.job.track.say(
                f"rows of `{self.job.stage}` stay in memory, and if it is interrupted it starts "
                f"anew: `{folder}` cannot be mapped ({reason})"
            )
            return None

    def _take(self, tensors: dict[str, Tensor], notes: dict[str, Any]) -> None:
        """Take up the rows of an earlier attempt, if they are what was noted of them."""
        n, d = self.shape
        done, digest = int(notes["rows"]), hashlib.sha256()
        try:
            shards = Mapped(self.job.checkpoint.rows, 4 * n * d, write=True)
        except (ValueError, OSError):
            shards = None
        if shards:
            digest.update(shards.array()[: 4 * done * d].data)
        if shards is None or digest.hexdigest() != notes["sha256"]:
            self.job.track.say(
                f"`{self.job.stage}` starts anew: its rows are not those of its checkpoint"
            )
            return
        self.shards, self.digest, self.done = shards, digest, done
        self.state = tensors["generator"]
        self.job.before = float(notes["seconds"])

    def _agree(self) -> None:
        """Have all processes go on at the same row, with the same random numbers."""
        own = [self.done, self.state.tolist() if self.state is not None else None]
        self.done, state = json.loads(self.job.group.told(json.dumps(own)))
        self.state = None if state is None else torch.tensor(state, dtype=torch.uint8)
