"""How fast this machine is at the steps of a run: a few real ones are timed, on random pixels."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from spice_cli.catalog import HEADS, METHODS, load
from spice_cli.config.embed import Embed
from spice_cli.config.pretrain import Pretrain
from spice_cli.config.self_label import SelfLabel
from spice_cli.heads.source import Facts, plain_source
from spice_cli.methods.plan import Plan
from spice_cli.ops.augment import contrastive, plain
from spice_cli.ops.costs import Saved, tensor_bytes
from spice_cli.stages.backbone import build
from spice_cli.stages.optimizers import optimizers

SECONDS, STEPS = 1.5, 8
"""At most that long, and so many steps, are timed of each thing."""
ROWS = 2_000
"""Images at most whose heads are timed."""


@dataclass(frozen=True)
class Timed:
    """Seconds that something took: the median, the least and the most of a few times."""

    middle: float
    least: float
    most: float

    def times(self, count: float) -> "Timed":
        """Return what so many of them take."""
        return Timed(self.middle * count, self.least * count, self.most * count)


@dataclass(frozen=True)
class Pace:
    """What a pretraining costs an update."""

    timed: Timed
    batch: int
    crops: int
    side: int
    """Of a view, in pixels."""
    saved: int
    """Bytes that an update keeps for its backward pass."""
    weights: int
    """Bytes of the method's tensors."""
    features: int
    left: int
    """Bytes an image of what the method leaves beside the backbone."""

    @property
    def step(self) -> float:
        """Seconds an update."""
        return self.timed.middle

    def semi_step(self, batch: int, ratio: int, side: int) -> float:
        """Return the seconds of a semi-supervised update on whole images of `side` pixels."""
        views = batch * (1 + 2 * ratio)
        return self.step * views / (self.batch * self.crops) * (side / self.side) ** 2


def pretraining(
    config: Pretrain, side: int, device: torch.device, precision: str, clusters: int | None
) -> Pace:
    """Time updates of a pretraining on images of `side` pixels."""
    batch = config.batch_size
    kind = load(METHODS[config.method])
    plan = Plan(4 * batch, clusters or 10, batch, 10, 4)
    with torch.random.fork_rng(devices=[]):
        method = kind(
            build(config.backbone, config, side), kind.Config.model_validate(config.settings), plan
        )
    method.to(device, memory_format=torch.channels_last).train()
    trained_by = optimizers(method, config)
    generator = torch.Generator(device).manual_seed(0)
    images = _noise(4 * batch, side, generator)
    views = config.views.model_dump()
    rows = torch.arange(batch, device=device)
    if begin := getattr(method, "begin", None):
        width = config.settings.get("dim", 128)
        begin(1, lambda of: _unit(len(images), int(str(width)), generator), generator)
    kept = Saved()

    def update() -> None:
        pixels = contrastive(images[:batch].repeat(method.crops, 1, 1, 1), generator, **views)
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        with kept if not kept.bytes else nullcontext(), _autocast(device, precision):
            loss = method(pixels.view(method.crops, batch, *pixels.shape[1:]), rows, generator)
        method.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        for optimizer in trained_by:
            optimizer.step()

    return Pace(
        timed=timed(update, device),
        batch=batch,
        crops=method.crops,
        side=config.views.size or side,
        saved=kept.bytes,
        weights=tensor_bytes(method.state_dict()),
        features=method.backbone.features,
        left=_left(method, images[:batch]),
    )


@torch.no_grad()
def _left(method: nn.Module, images: Tensor) -> int:
    """Return the bytes that a method leaves of an image."""
    leaves = getattr(method, "leaves", None)
    pixels = plain(images).contiguous(memory_format=torch.channels_last)
    method.eval()
    return tensor_bytes(leaves(lambda of: of(pixels))) // len(images) if leaves else 0


@torch.no_grad()
def embedding(
    backbone: nn.Module, config: Embed, side: int, device: torch.device, precision: str
) -> Timed:
    """Time the features of one image, seen once, through a backbone on the device."""
    generator = torch.Generator(device).manual_seed(0)
    images = _noise(min(config.batch_size, 64), side, generator)
    backbone.eval()

    def look() -> None:
        pixels = plain(images).contiguous(memory_format=torch.channels_last)
        with _autocast(device, precision):
            backbone(pixels)

    return timed(look, device).times(1 / len(images))


def heads(
    config: SelfLabel, clusters: int, images: int, features: int, device: torch.device
) -> Timed:
    """Time all epochs of heads, from one epoch on random features of at most 2,000 images."""
    rows = max(min(images, ROWS), min(images, 4 * clusters))
    generator = torch.Generator(device).manual_seed(0)
    everything = _unit(rows, features, generator)
    kind = load(HEADS[config.method])
    own, config = settled(config, clusters, rows, features)
    head = kind(plain_source(everything, clusters), config, own, generator)
    epoch = timed(lambda: head.epoch(1, generator, lambda count: None), device, warm=False)
    return epoch.times(head.epochs * images / rows)


def settled(config: SelfLabel, clusters: int, images: int, features: int) -> tuple[Any, SelfLabel]:
    """Return a head method's own settings and the shared ones, with what it fills in."""
    kind = load(HEADS[config.method])
    own = kind.Config.model_validate(config.settings)
    if not hasattr(kind, "wants"):
        return own, config
    wants = kind.wants(own, Facts(images=images, clusters=clusters, features=features, side=None))
    shared = {k: v for k, v in wants.shared.items() if k not in config.model_fields_set}
    return wants.settings, config.model_copy(update=shared)


def timed(work: Callable[[], object], device: torch.device, *, warm: bool = True) -> Timed:
    """Time some work a few times, after once for warming up."""
    if warm:
        work()
    spent: list[float] = []
    while sum(spent) < SECONDS and len(spent) < STEPS:
        _wait(device)
        started = time.perf_counter()
        work()
        _wait(device)
        spent.append(time.perf_counter() - started)
    spent.sort()
    return Timed(spent[len(spent) // 2], spent[0], spent[-1])


def _noise(count: int, side: int, generator: torch.Generator) -> Tensor:
    shape = (count, 3, side, side)
    return torch.randint(
        256, shape, dtype=torch.uint8, generator=generator, device=generator.device
    )


def _unit(count: int, features: int, generator: torch.Generator) -> Tensor:
    rows = torch.randn(count, features, generator=generator, device=generator.device)
    return torch.nn.functional.normalize(rows)


def _autocast(device: torch.device, precision: str) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
