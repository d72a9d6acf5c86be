"""What a stage is given: its run, its config, and where and how it computes."""

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from pydantic import JsonValue
from torch import Tensor, nn

from spice_cli.config import Compile, Frozen
from spice_cli.errors import CollapsedError
from spice_cli.run.checkpoint import Checkpoint, pack_optimizer, unpack_optimizer
from spice_cli.run.log import Log
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.group import ALONE, Group
from spice_cli.stages.images import images_of
from spice_cli.track import Track

C = TypeVar("C", bound=Frozen)
Parts = Mapping[str, nn.Module | torch.optim.Optimizer]


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
        """Return all images of the run (n, 3, h, w) uint8 on the device."""
        return images_of(self.run, self.track.say).images.to(self.device)

    def resume(self, parts: Parts) -> int:
        """Load the parts from the checkpoint, if there is one; return the epochs already done."""
        found = self.checkpoint.load() if self.group.rank == 0 else None
        if self.group.told("found" if found else "") and self.group.rank > 0:
            found = self.checkpoint.load()
        if found is None:
            if self.checkpoint.other:
                self.track.say(f"`{self.stage}` starts anew: its checkpoint is of other settings")
            self.log.clear()
            return 0
        tensors, meta = found
        for name, part in parts.items():
            prefix = f"{name}/"
            own = {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}
            if isinstance(part, nn.Module):
                part.load_state_dict(own)
            else:
                unpack_optimizer(part, own)
        epoch = int(str(meta["epoch"]))
        self.before = float(str(meta["seconds"]))
        self.log.rewind(epoch)
        self.track.say(f"`{self.stage}` goes on after epoch {epoch}")
        return epoch

    def save(self, epoch: int, parts: Parts) -> None:
        """Bring the parts to the same bits in all processes, and checkpoint them if it is time."""
        self.group.settle(parts)
        if self.group.rank > 0:
            return
        if time.monotonic() - self.saved < self.checkpoint_seconds:
            return
        tensors: dict[str, Tensor] = {}
        for name, part in parts.items():
            state = part.state_dict() if isinstance(part, nn.Module) else pack_optimizer(part)
            tensors |= {f"{name}/{key}": value for key, value in state.items()}
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
