"""An epoch of SPICE-Self at CIFAR-10's size, the features of its views included.

The peer is the same algorithm with the frozen backbone run as SPICE's own code runs it, in float32:
over each labelled batch once for the pseudo-labels, then over the images of every head anew in
every update of every pass (with batch norm in training mode, as there), and over all images for the
choice of head and epoch. What else it would do is left out: augmenting and labelling.
"""

from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.measure import Row, seconds
from spice_cli.config.embed import Embed
from spice_cli.config.self_label import SelfLabel
from spice_cli.heads.spice_config import SpiceConfig
from spice_cli.heads.spice_rounds import Rounds
from spice_cli.models.resnet import resnet18
from spice_cli.ops.augment import plain
from spice_cli.settings.recipes import read_recipe
from spice_cli.stages.allocator import keep_freed_memory
from spice_cli.stages.features import features, strong_view, weak_view
from spice_cli.stages.perform import choose_precision

IMAGES, SIDE, WIDTH, CLUSTERS, LABELLED = 50_000, 32, 512, 10, 5_000
ROUNDS = IMAGES // LABELLED
PART, SCORED, REPEATS = 512, 100, 3
"""Images in a batch of ours, and of the reference's scoring; batches of each kind timed."""
CONFIG, OWN = SelfLabel(clusters=CLUSTERS), SpiceConfig(batch=LABELLED)
PASSES = OWN.passes or 1
RECIPE = "cifar10-cpu"


def bench() -> list[Row]:
    """Time batches of every kind of work in turns, and count how many an epoch has of each."""
    keep_freed_memory()
    bf16 = choose_precision("auto", torch.device("cpu")) == "bf16"
    views, (round_of, score) = our_views(bf16), our_heads(bf16)
    update, scoring = reference()
    for work in (*views.values(), round_of, scoring):
        work()
    updates = ROUNDS * PASSES * (LABELLED // CONFIG.batch_size)
    live, cached, theirs = [], [], []
    recipe = read_recipe(RECIPE)
    stored, epochs = recipe["embed"]["views"], recipe["self-label"]["epochs"]
    for _ in range(REPEATS):
        taken = {name: seconds(work) * IMAGES / PART for name, work in views.items()}
        heads = ROUNDS * seconds(round_of) + seconds(score)
        live.append(sum(taken.values()) + heads)
        once = taken["plain"] + stored * (taken["weak"] + taken["strong"])
        cached.append(once / epochs + heads)
        theirs.append(updates * seconds(update) + 2 * IMAGES / SCORED * seconds(scoring))
    runs = CONFIG.heads * PASSES + 2
    size = f"{IMAGES:,} images, ResNet-18, M = {LABELLED:,}, {CONFIG.heads} heads, {PASSES} passes"
    return [
        Row(
            what="SPICE-Self, an epoch, features included",
            peer="the backbone run as in the reference, fp32",
            n=size,
            ours=live,
            theirs=theirs,
            goal=50,
            note=(
                f"ours runs the backbone in {'bf16' if bf16 else 'fp32'} 3 times over each image "
                "(plain, weak, strong views, augmentation included), timed on a batch of "
                f"{PART} images of each view a repeat, of {IMAGES / PART:.0f}; heads on one round "
                f"of {LABELLED:,} images a repeat, times {ROUNDS}, and the whole selection. The "
                f"peer runs it {runs} times; a repeat times 1 of {updates:,} updates "
                f"({CONFIG.heads} x {CONFIG.batch_size} images) and 1 of "
                f"{2 * IMAGES // SCORED:,} batches that are scored, augmentation and "
                "pseudo-labels not counted"
            ),
        ),
        Row(
            what="SPICE-Self, an epoch, stored views",
            peer="none",
            n=size,
            ours=cached,
            theirs=[],
            note=(
                f"views as `{RECIPE}` stores them: 1 + 2 x {stored} runs of the backbone over each "
                f"image are shared by {epochs} epochs"
            ),
        ),
    ]


def our_views(bf16: bool) -> dict[str, Callable[[], object]]:
    """Make the features of one batch of each view, as the stages do."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (PART, 3, SIDE, SIDE), dtype=torch.uint8, generator=generator)
    backbone = resnet18(SIDE).to(memory_format=torch.channels_last).eval()
    job: Any = SimpleNamespace(
        autocast=lambda: torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext(),
        device=torch.device("cpu"),
    )
    views = {
        "plain": plain,
        "weak": weak_view(Embed().weak, generator),
        "strong": strong_view(Embed().strong, generator),
    }
    return {
        name: lambda view=view: features(backbone, images, view, job, batch_size=PART)
        for name, view in views.items()
    }


def our_heads(bf16: bool) -> tuple[Callable[[], object], Callable[[], object]]:
    """Make a round of labelling and training, and the selection at the end of an epoch."""
    generator = torch.Generator().manual_seed(0)
    embeddings = F.normalize(torch.randn(IMAGES, WIDTH, generator=generator))
    dtype = torch.bfloat16 if bf16 else torch.float32
    head = Rounds(WIDTH, CLUSTERS, CONFIG, OWN, generator, dtype=dtype)

    def round_of() -> None:
        part = embeddings[torch.randperm(IMAGES, generator=generator)[:LABELLED]]
        head.train(part, head.label(part, part), generator)

    return round_of, lambda: head.score(embeddings, embeddings)


def reference() -> tuple[Callable[[], object], Callable[[], object]]:
    """Make an update of all heads, backbone included, and the scoring of a batch."""
    generator = torch.Generator().manual_seed(0)
    backbone = resnet18(SIDE).requires_grad_(False)
    heads = nn.ModuleList(
        nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, CLUSTERS))
        for _ in range(CONFIG.heads)
    )
    optimizer = torch.optim.Adam(heads.parameters(), lr=CONFIG.lr)
    pixels = torch.randn(CONFIG.heads * CONFIG.batch_size, 3, SIDE, SIDE, generator=generator)
    label = torch.randint(CLUSTERS, (CONFIG.heads, CONFIG.batch_size), generator=generator)

    def update() -> None:
        backbone.train()
        parts = backbone(pixels).chunk(CONFIG.heads)
        losses = [
            F.cross_entropy(head(part).softmax(1), own)
            for head, part, own in zip(heads, parts, label, strict=True)
        ]
        optimizer.zero_grad()
        torch.stack(losses).mean().backward()
        optimizer.step()

    @torch.no_grad()
    def scoring() -> list[Tensor]:
        backbone.eval()
        found = backbone(pixels[:SCORED])
        return [head(found).softmax(1) for head in heads]

    return update, scoring
