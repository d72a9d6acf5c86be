"""Reliable labels in, a classifier of all images out: semi-supervised retraining."""

import time
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spice_cli.catalog import SEMI, load
from spice_cli.config import Pretrain, Semi
from spice_cli.errors import UsageError
from spice_cli.models.classifier import Classifier
from spice_cli.ops.augment import plain
from spice_cli.ops.schedule import cosine_7_16, ema_decay, semi_steps
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.semi.average import follower
from spice_cli.semi.settled import Settled
from spice_cli.stages.backbone import build, image_size, pretrain_config, restore
from spice_cli.stages.compiled import compiled
from spice_cli.stages.features import strong_view, weak_view
from spice_cli.stages.job import Job, Parts, Work, check_shares, setting

ROUND = 50
"""Steps between two lines of the log, and the least between two checkpoints or two looks."""
LOOKS = 40
"""How often a training of the planned length looks at how many predictions changed."""
WATCHED = 5_000
"""Training images at most whose predictions it looks at."""


def compute(job: Job[Semi]) -> dict[str, Tensor]:
    """Train on the training rows; what counts is the last moving average, picked by nothing."""
    config, device, planned = job.config, job.device, job.config.steps or 0
    images = job.images()
    pool = images[: job.run.manifest.data.train]
    chosen = job.run.read(Stage.SELECT_RELIABLE)
    index, label = chosen["index"].to(device), chosen["label"].to(device)
    clusters = int(label.max()) + 1
    model = _model(job, clusters)
    average = deepcopy(model).requires_grad_(False).eval()
    kind = load(SEMI[config.method])
    method = kind(clusters, kind.Config.model_validate(config.settings)).to(device)
    watched = pool[_some(len(pool), job.generator("watched"))]
    settled = Settled(len(watched), share=config.stop, patience=config.patience).to(device)
    optimizer = torch.optim.SGD(
        _groups(model, config.weight_decay),
        lr=config.lr,
        momentum=config.momentum,
        nesterov=True,
        fused=True,
    )
    parts: Parts = {
        "model": model,
        "average": average,
        "method": method,
        "settled": settled,
        "optimizer": optimizer,
    }
    done = job.resume(parts)
    follow = follower(average, model)
    rounds = -(-planned // ROUND)
    labelled, unlabelled = config.batch_size, config.batch_size * config.ratio
    step_images = labelled + unlabelled

    def logits_of(rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Of weak views of the labelled rows, and weak and strong ones of the others; one batch."""
        part = pool[rows]
        weak = weak_view(config.weak, generator)(part)
        strong = strong_view(config.strong, generator)(part[labelled:])
        with job.autocast():
            logits = model(_last(torch.cat([weak, strong]))).float()
        known, calm, shaken = logits.split([labelled, unlabelled, unlabelled])
        return known, calm, shaken

    def rehearse() -> Tensor:
        rows = index.new_zeros(step_images)
        return torch.cat(logits_of(rows, job.generator("rehearsal"))).mean()

    compiled(model, config.compile, steps=planned, rehearse=rehearse, warn=job.track.warn)
    with job.track.bar(
        "semi", planned * step_images, done=min(done * ROUND, planned) * step_images
    ) as bar:
        for number in range(done + 1, rounds + 1):
            if settled.over:
                break
            started = time.monotonic()
            generator = job.generator(number)
            total = torch.zeros(2, device=device)
            sizes = torch.zeros(clusters, dtype=torch.long, device=device)
            steps = range((number - 1) * ROUND, min(number * ROUND, planned))
            for step in steps:
                rate = cosine_7_16(step, planned, base=config.lr)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                known = _draw(len(index), labelled, generator)
                rows = torch.cat([index[known], _draw(len(pool), unlabelled, generator)])
                logits, weak, strong = logits_of(rows, generator)
                taught, guess, trust = method(weak, strong)
                loss = F.cross_entropy(logits, label[known]) + config.weight * taught
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                follow(ema_decay(step, config.ema))
                total += torch.stack([loss.detach(), trust.mean()])
                sizes.scatter_add_(0, guess, torch.ones_like(guess))
                bar.advance(step_images)
            mean_loss, confident = (total / len(steps)).tolist()
            seconds = time.monotonic() - started
            record = {
                "epoch": number,
                "step": steps.stop,
                "loss": mean_loss,
                "confident": confident,
                "largest_share": float(sizes.max() / sizes.sum()),
                "lr": rate,
                "seconds": round(seconds, 3),
                "images_per_second": round(len(steps) * step_images / seconds, 1),
            }
            if number % max(1, rounds // LOOKS) == 0:
                record["changed"] = settled.look(_predict(average, watched, job).argmax(1))
            job.note(record)
            left = (planned - steps.stop) * seconds / len(steps)
            bar.line(
                f"step {steps.stop}/{planned}  loss {mean_loss:.4f}",
                f"confident {confident:.0%}  {record['images_per_second']:,.0f} images/s  "
                f"{left:,.0f} s left at most",
            )
            if number > 1:
                check_shares(job.stage, sizes, hint=_advice())
            job.save(number, parts)
            done = number
    if settled.over and done < rounds:
        job.track.say(f"`semi` settled after {done * ROUND:,} of {planned:,} steps")
    probs = _predict(average, images, job)
    sizes = torch.bincount(probs.argmax(1), minlength=clusters)
    check_shares(job.stage, sizes, hint=_advice())
    return {**{f"model.{k}": v for k, v in average.state_dict().items()}, "probs": probs}


def check_init(config: Semi, pretrained: Pretrain) -> None:
    """Raise if it is to start from weights that there are not."""
    if config.init == "pretrain" and config.backbone not in (None, pretrained.backbone):
        raise UsageError(
            f"there are weights of `{pretrained.backbone}`, none of `{config.backbone}`",
            hint=setting(Stage.SEMI, init="random"),
        )


def _advice() -> str:
    return f"a lower rate usually helps: {setting(Stage.SEMI, lr=0.003)}"


def _model(job: Job[Semi], clusters: int) -> nn.Module:
    config, stored = job.config, pretrain_config(job.run)
    check_init(config, stored)
    with job.seeded():
        if config.init == "pretrain":
            backbone = restore(job.run, job.device)
        else:
            backbone = build(config.backbone or stored.backbone, stored, image_size(job.run))
        model = Classifier(backbone, clusters)
    return model.to(job.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload, no-any-return]


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """No decay for what batch norm scales and shifts by, as in FixMatch, nor for biases."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _draw(n: int, size: int, generator: torch.Generator) -> Tensor:
    return torch.randint(n, (size,), generator=generator, device=generator.device)


def _some(n: int, generator: torch.Generator) -> Tensor:
    return torch.randperm(n, generator=generator, device=generator.device)[:WATCHED]


def _last(pixels: Tensor) -> Tensor:
    return pixels.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def _predict(model: nn.Module, images: Tensor, job: Job[Semi]) -> Tensor:
    parts = []
    for part in torch.split(images, 512):
        with job.autocast():
            logits = model(_last(plain(part)))
        parts.append(logits.float().softmax(1))
    return torch.cat(parts)


def resolve(config: Semi, run: Run) -> Semi:
    """Fill in the number of steps."""
    if config.steps is not None:
        return config
    (reliable,) = run.record(Stage.SELECT_RELIABLE).tensors["index"].shape
    steps = semi_steps(reliable, run.manifest.data.train, config.batch_size, config.ratio)
    return config.model_copy(update={"steps": steps})


def reads(config: Semi, run: Run) -> tuple[Stage, ...]:
    """Read the reliable labels and the backbone (its architecture, at the least)."""
    return (Stage.PRETRAIN, Stage.SELECT_RELIABLE)


WORK = Work(compute, reads, resolve)
