"""The matrix products that the hardware can do, and how much of them a training step is.

Products of square matrices give the peaks. A step is `pretrain`'s: SimCLR, ResNet-18, 32 pixels,
two augmented views of each image, bf16 where the hardware has it, SGD.
"""

import re
from collections import Counter
from collections.abc import Callable
from statistics import median

import torch
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import seconds
from spice_cli.config.pretrain import Pretrain
from spice_cli.methods.plan import Plan
from spice_cli.methods.simclr import SimCLR
from spice_cli.models.resnet import resnet18
from spice_cli.ops.augment import contrastive
from spice_cli.ops.muon import sgd
from spice_cli.stages.allocator import keep_freed_memory
from spice_cli.stages.perform import choose_precision

SIZES = (512, 1024, 2048, 4096)
IMAGES, BATCH, SIDE, REPEATS = 1024, 128, 32, 5
VIEWS = 2 * BATCH
KINDS = {
    "convolution": r"conv",
    "batch norm": r"batch_?norm",
    "ReLU and addition": r"relu|clamp_min|threshold_backward|aten::add_?$",
    "conversion and copies": r"aten::copy_$",
}
"""What the names of PyTorch's operations match."""


def bench() -> str:
    """Return two tables: peaks, and where the time of a step goes."""
    keep_freed_memory()
    peaks = {dtype: peak(dtype) for dtype in (torch.bfloat16, torch.float32)}
    step = training_step()
    step()
    with FlopCounterMode(display=False) as counter:
        step()
    work = counter.get_total_flops()
    times = [seconds(step) for _ in range(REPEATS)]
    rate, best = work / median(times), max(peaks[torch.bfloat16].values())
    lines = [
        "| square product | " + " | ".join(f"{size}" for size in SIZES) + " |",
        "|---" * (len(SIZES) + 1) + "|",
    ]
    for dtype, found in peaks.items():
        values = " | ".join(f"{value / 1e9:,.0f}" for value in found.values())
        lines.append(f"| {str(dtype).removeprefix('torch.')}, GFLOP/s | {values} |")
    lines += [
        "",
        f"One step (SimCLR, ResNet-18, {SIDE} px, {BATCH} images, {VIEWS} views, augmentation "
        f"included, {precision()}) takes {median(times):.3g} s ({min(times):.3g} to "
        f"{max(times):.3g}) [{REPEATS}]: {BATCH / median(times):,.0f} images, "
        f"{VIEWS / median(times):,.0f} views a second. Convolutions and products are "
        f"{work / VIEWS / 1e9:.2f} GFLOP a view, forward and backward, so {rate / 1e9:,.0f} "
        f"GFLOP/s of whole step: **{rate / best:.0%}** of the best bf16 product. Its time:",
        "",
        "| what | share of the step |",
        "|---|---|",
        *(f"| {name} | {share:.1%} |" for name, share in shares(step).items()),
    ]
    return "\n".join(lines)


def peak(dtype: torch.dtype) -> dict[int, float]:
    """Return FLOP a second of square products of each size, the best of some."""
    found = {}
    for size in SIZES:
        one, two = torch.randn(2, size, size).to(dtype)
        out = torch.empty_like(one)
        product = lambda one=one, two=two, out=out: torch.mm(one, two, out=out)  # noqa: E731
        product()
        count = max(2, 16 * 1024**3 // size**3)
        found[size] = 2 * size**3 / min(seconds(product) for _ in range(min(count, 50)))
    return found


def precision() -> str:
    """Name the precision that `auto` chooses here."""
    return choose_precision("auto", torch.device("cpu"))


def training_step() -> Callable[[], None]:
    """Make a step as `pretrain` does it, its ranges named for the profiler."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (IMAGES, 3, SIDE, SIDE), dtype=torch.uint8, generator=generator)
    config = Pretrain()
    views = config.views.model_dump() | {"blur": 0.0}
    settings = SimCLR.Config(batch_norm=True)
    method = SimCLR(resnet18(SIDE), settings, Plan(IMAGES, None, BATCH, 1, 1))
    method.to(memory_format=torch.channels_last).train()
    optimizers = sgd(method, lr=0.06, momentum=0.9, nesterov=False, weight_decay=5e-4)

    def step() -> None:
        with record_function("augmentation"):
            rows = torch.randperm(len(images), generator=generator)[:BATCH]
            pixels = contrastive(images[rows].repeat(2, 1, 1, 1), generator, **views)
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision() == "bf16"):
            loss = method(pixels.unflatten(0, (2, BATCH)), rows, generator)
        method.zero_grad(set_to_none=True)
        loss.backward()
        with record_function("optimizer"):
            for optimizer in optimizers:
                optimizer.step()

    return step


def shares(step: Callable[[], None], *, steps: int = 3) -> dict[str, float]:
    """Return each kind of work's share of the time of a step, largest first, the rest last."""
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for _ in range(steps):
            step()
    spent: Counter[str] = Counter()
    for event in profiled.events():
        spent[kind(event)] += event.self_cpu_time_total
    total = spent.total()
    other = spent.pop("other", 0)
    return {name: value / total for name, value in [*spent.most_common(), ("other", other)]}


def kind(event: torch.autograd.profiler_util.FunctionEvent) -> str:
    """Name the work that an operation belongs to, by the range it is in, then by its name."""
    parent = event
    while parent is not None:
        if parent.name in ("augmentation", "optimizer"):
            return parent.name
        parent = parent.cpu_parent
    for name, pattern in KINDS.items():
        if re.search(pattern, event.name, re.IGNORECASE):
            return name
    return "other"
