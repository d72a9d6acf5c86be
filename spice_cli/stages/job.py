"""What a stage is given: its run, its config, and where and how it computes."""

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from pydantic import JsonValue
from torch import Tensor

from spice_cli.config.frozen import Compile, Frozen
from spice_cli.errors import CollapsedError, InvalidError
from spice_cli.heads.deal import ALL, Deal
from spice_cli.run.checkpoint import Checkpoint
from spice_cli.run.log import Log
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.group import ALONE, Group
from spice_cli.stages.images import images_of, settled
from spice_cli.stages.parts import Parts, pack, unpack
from spice_cli.track import Track

C = TypeVar("C", bound=Frozen)


@dataclass
class Job(Generic[C]):
    """One stage of one run, about to be computed."""

    run: Run
    stage: Stage
    config: C
    seed: int
    device: torch.device
    precision: str
    track: Track
    checkpoint: Checkpoint
    log: Log
    checkpoint_seconds: float
    """Least time between two checkpoints."""
    group: Group = ALONE
    """The processes that compute it together."""
    before: float = 0.0
    """Seconds that earlier attempts took."""
    started: float = field(default_factory=time.monotonic)
    saved: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Wall time so far, over all attempts."""
        return self.before + time.monotonic() - self.started

    def generator(self, *part: int | str) -> torch.Generator:
        """Return the generator of one part of the stage, the same in every attempt."""
        return torch.Generator(self.device).manual_seed(self._seed(*part))

    @contextmanager
    def seeded(self) -> Iterator[None]:
        """Make the default initialisation of layers follow the seed; leave the global one alone."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed("initialisation"))
            yield

    @property
    def compile(self) -> Compile:
        """Whether to compile; `auto` does not with several devices, where nothing was measured."""
        choice: Compile = self.config.compile  # type: ignore[attr-defined]
        return "off" if self.group.world > 1 and choice == "auto" else choice

    def autocast(self) -> AbstractContextManager[object]:
        """Compute in bf16 where that was chosen."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def images(self) -> Tensor:
        """Return all images of the run (n, 3, h, w) uint8, on the device if they fit."""
        return settled(images_of(self.run, self.track.say).images, self.device, self.track.say)

    def checkpointed(self) -> tuple[dict[str, Tensor], dict[str, JsonValue]] | None:
        """Return the tensors and notes of the checkpoint; say so if there is one of other work."""
        found = self.checkpoint.load()
        if self.checkpoint.other:
            self.track.say(f"`{self.stage}` starts anew: its checkpoint is of other settings")
        return found

    def resume(self, parts: Parts, deal: Deal = ALL) -> int:
        """Load the parts from the checkpoint, if there is one; return the epochs already done."""
        found = self.checkpointed() if self.group.rank == 0 else None
        if (told := self.group.told(_mark(found))) and self.group.rank > 0:
            found = self.checkpoint.load()
            if _mark(found) != told:
                raise InvalidError(
                    f"`{self.checkpoint.path}` is not the checkpoint that the first process sees"
                )
        if found is None:
            self.log.clear()
            return 0
        tensors, meta = found
        unpack(parts, tensors, deal)
        epoch = int(str(meta["epoch"]))
        self.before = float(str(meta["seconds"]))
        self.log.rewind(epoch)
        self.track.say(f"`{self.stage}` goes on after epoch {epoch}")
        return epoch

    def save(self, epoch: int, parts: Parts, deal: Deal = ALL) -> None:
        """Bring the parts to the same bits in all processes, and checkpoint them if it is time.

        Heads that are dealt out are put together for it: a checkpoint holds them all.
        """
        if deal.world == 1:
            self.group.settle(parts)
        due = time.monotonic() - self.saved >= self.checkpoint_seconds
        if not self.group.told("due" if due else ""):
            return
        tensors = pack(parts, deal)
        if self.group.rank == 0:
            self.checkpoint.save(tensors, {"epoch": epoch, "seconds": self.seconds})
            self.saved = time.monotonic()

    def note(self, record: Mapping[str, JsonValue]) -> None:
        """Log an epoch; stop if one of its numbers is no number any more."""
        self.log.append(record)
        for name, value in record.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise CollapsedError(
                    f"`{self.stage}` collapsed: {name} is {value} in epoch {record['epoch']}",
                    hint=f"a lower rate usually helps: {setting(self.stage, lr=0.001)}",
                )

    def _seed(self, *part: int | str) -> int:
        text = "/".join(map(str, (self.seed, self.stage, *part)))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7])


@dataclass(frozen=True)
class Work:
    """A stage: what it computes from what."""

    compute: Callable[[Job[Any]], dict[str, Tensor]]
    reads: Callable[[Any, Run], tuple[Stage, ...]]
    """The stages it reads under a config, in this run."""
    resolve: Callable[[Any, Run], Any] = lambda config, run: config
    """Fill in what a config leaves to the run."""


def _mark(found: tuple[object, Mapping[str, JsonValue]] | None) -> str:
    """Return what tells a checkpoint from others; nothing where there is none."""
    return json.dumps(found[1], sort_keys=True) if found else ""


def check_shares(stage: Stage, counts: Tensor, *, hint: str, limit: float = 0.9) -> None:
    """Raise if one cluster holds more than `limit` of the images; counts (k,)."""
    check_share(stage, float(counts.max() / counts.sum()), len(counts), hint=hint, limit=limit)


def check_share(
    stage: Stage, share: float, clusters: int, *, hint: str, limit: float = 0.9
) -> None:
    """Raise if the largest cluster's share of the images is more than `limit`."""
    if share > limit:
        raise CollapsedError(
            f"`{stage}` collapsed: one of {clusters} clusters holds {share:.0%} of the images",
            hint=hint,
        )


def setting(stage: Stage, **values: JsonValue) -> str:
    """Spell how to change settings, for the stage's own command and for `spice run`."""
    own = " ".join(f"--set {key}={value}" for key, value in values.items())
    every = " ".join(f"--set {stage}.{key}={value}" for key, value in values.items())
    return f"`{own}` (with `spice run`: `{every}`)"
