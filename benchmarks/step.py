"""One SimCLR training step of a ResNet-18 at 32 pixels, augmentation, loss and optimizer included.

Both train in batches of as many views of the same images, on the CPU. The peer is lightly as its
documentation has it: its transform on PIL images behind a PyTorch DataLoader, its loss and
projection head, torchvision's ResNet-18 with the stem of its CIFAR-10 benchmark, SGD, float32.
"""

from collections.abc import Callable, Iterator
from statistics import median

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import Row, seconds
from spice_cli.config.pretrain import Pretrain
from spice_cli.methods.plan import Plan
from spice_cli.methods.simclr import SimCLR
from spice_cli.models.resnet import resnet18
from spice_cli.ops.augment import contrastive
from spice_cli.ops.muon import sgd
from spice_cli.stages.allocator import keep_freed_memory
from spice_cli.stages.perform import choose_precision

BATCH, IMAGES, SIDE, REPEATS = 128, 1024, 32, 5
VIEWS = 2 * BATCH
PRODUCT = 2048
LR, MOMENTUM, DECAY, TEMPERATURE, DIM = 0.06, 0.9, 5e-4, 0.5, 128
"""lightly's for CIFAR-10; its loss and head have their own defaults of these last two."""


def bench() -> list[Row]:
    """Time both, and the bf16 matrix products between them, in turns."""
    keep_freed_memory()
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (IMAGES, 3, SIDE, SIDE), dtype=torch.uint8, generator=generator)
    batches = lightly_batches(images)
    mine, theirs, product = our_step(images), lightly_step(batches), bf16_product()
    mine()
    with FlopCounterMode(display=False) as counter:
        mine()
    theirs(), product()
    times = [(seconds(mine), seconds(theirs), seconds(product)) for _ in range(REPEATS)]
    ours, peer, products = (list(column) for column in zip(*times, strict=True))
    loading = median(seconds(lambda: next(batches)) for _ in range(REPEATS))
    work = counter.get_total_flops()
    rate, peak = work / median(ours), 2 * PRODUCT**3 / median(products)
    return [
        Row(
            what="SimCLR step, ResNet-18, 32 px",
            peer="lightly",
            n=f"{BATCH} images, {VIEWS} views",
            ours=ours,
            theirs=peer,
            goal=1.8,
            units=VIEWS,
            note=(
                f"ours in {choose_precision('auto', torch.device('cpu'))}: {work / VIEWS / 1e9:.2f}"
                " GFLOP of convolutions and products a view, forward and backward, are"
                f" {rate / 1e9:,.0f} GFLOP/s of whole step, {rate / peak:.0%} (goal 65 %) of the"
                f" {peak / 1e9:,.0f} that bf16 products of {PRODUCT} x {PRODUCT} matrices reach in"
                f" the same minute. Loading is {loading / median(peer):.1%} of the peer's step, the"
                " most that worker processes could hide on cores of their own"
            ),
        )
    ]


def our_step(images: Tensor) -> Callable[[], object]:
    """Make a step as `pretrain` does it; images (n, 3, h, w) uint8."""
    generator = torch.Generator().manual_seed(0)
    views = Pretrain().views.model_dump() | {"blur": 0.0}
    bf16 = choose_precision("auto", images.device) == "bf16"
    settings = SimCLR.Config(temperature=TEMPERATURE, batch_norm=True)
    method = SimCLR(resnet18(SIDE), settings, Plan(len(images), None, BATCH, 1, 1))
    method.to(memory_format=torch.channels_last).train()
    optimizers = sgd(method, lr=LR, momentum=MOMENTUM, nesterov=False, weight_decay=DECAY)

    def step() -> None:
        rows = torch.randperm(len(images), generator=generator)[:BATCH]
        pair = contrastive(images[rows].repeat(2, 1, 1, 1), generator, **views)
        pair = pair.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = method(pair.unflatten(0, (2, BATCH)), rows, generator)
        method.zero_grad(set_to_none=True)
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()

    return step


def lightly_batches(images: Tensor) -> Iterator[list[Tensor]]:
    """Yield two views of a batch at a time, without end."""
    from lightly.transforms import SimCLRTransform
    from PIL import Image
    from torch.utils.data import DataLoader, RandomSampler

    arrays = images.permute(0, 2, 3, 1).contiguous().numpy()
    transform = SimCLRTransform(input_size=SIDE, gaussian_blur=0.0)

    class Pictures(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(arrays)

        def __getitem__(self, index: int) -> list[Tensor]:
            return transform(Image.fromarray(arrays[index]))

    pictures = Pictures()
    sampler = RandomSampler(pictures, replacement=True, num_samples=10**6)
    return iter(DataLoader(pictures, BATCH, sampler=sampler, drop_last=True))


def lightly_step(batches: Iterator[list[Tensor]]) -> Callable[[], object]:
    """Make lightly's step, which takes its next batch."""
    import torchvision
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead

    net = torchvision.models.resnet18()
    net.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    net.maxpool, net.fc = nn.Identity(), nn.Identity()
    model = nn.Sequential(net, SimCLRProjectionHead(512, 512, DIM)).train()
    criterion = NTXentLoss(temperature=TEMPERATURE)
    optimizer = torch.optim.SGD(model.parameters(), LR, MOMENTUM, weight_decay=DECAY)

    def step() -> None:
        first, second = next(batches)
        loss = criterion(model(first), model(second))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def bf16_product() -> Callable[[], object]:
    """Make a product of two square matrices."""
    one, two = torch.randn(2, PRODUCT, PRODUCT).bfloat16()
    out = torch.empty_like(one)
    return lambda: torch.mm(one, two, out=out)
