"""Reliable labels in, a classifier of all images out: semi-supervised retraining."""

import time
from copy import deepcopy

import torch
from torch import Tensor, nn

from spice_cli.catalog import SEMI, load
from spice_cli.config import Pretrain, Semi
from spice_cli.errors import UsageError
from spice_cli.models.classifier import Classifier
from spice_cli.ops.augment import plain
from spice_cli.ops.schedule import cosine_7_16, ema_decay
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.backbone import build, image_size, pretrain_config, restore
from spice_cli.stages.features import View, strong_view, weak_view
from spice_cli.stages.job import Job, Parts, Work, check_shares, setting

ROUND = 50
"""Steps between two lines of the log, and the least between two checkpoints."""


def compute(job: Job[Semi]) -> dict[str, Tensor]:
    """Train on the training rows; what counts is the last moving average, picked by nothing."""
    config, device = job.config, job.device
    images = job.images()
    pool = images[: job.run.manifest.data.train]
    chosen = job.run.read(Stage.SELECT_RELIABLE)
    index, label = chosen["index"].to(device), chosen["label"].to(device)
    clusters = int(label.max()) + 1
    model = _model(job, clusters)
    average = deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.SGD(
        _groups(model, config.weight_decay),
        lr=config.lr,
        momentum=config.momentum,
        nesterov=True,
        fused=True,
    )
    parts: Parts = {"model": model, "average": average, "optimizer": optimizer}
    done = job.resume(parts)
    rounds = -(-config.steps // ROUND)
    step_images = config.batch_size * (1 + config.ratio)
    loss_of = load(SEMI[config.method])
    with job.track.bar(
        "semi", config.steps * step_images, done=min(done * ROUND, config.steps) * step_images
    ) as bar:
        for number in range(done + 1, rounds + 1):
            started = time.monotonic()
            generator = job.generator(number)
            weak, strong = weak_view(config.weak, generator), strong_view(config.strong, generator)
            total = torch.zeros(2, device=device)
            sizes = torch.zeros(clusters, dtype=torch.long, device=device)
            steps = range((number - 1) * ROUND, min(number * ROUND, config.steps))
            for step in steps:
                rate = cosine_7_16(step, config.steps, base=config.lr)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                known = _draw(len(index), config.batch_size, generator)
                others = _draw(len(pool), config.batch_size * config.ratio, generator)
                views = [
                    _pixels(weak, pool[index[known]]),
                    _pixels(weak, pool[others]),
                    _pixels(strong, pool[others]),
                ]
                with job.autocast():
                    loss, guess, sure = loss_of(
                        model,
                        views[0],
                        label[known],
                        *views[1:],
                        threshold=config.threshold,
                        weight=config.weight,
                    )
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                _follow(average, model, ema_decay(step, config.ema))
                total += torch.stack([loss.detach(), sure.mean()])
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
            job.note(record)
            left = (config.steps - steps.stop) * seconds / len(steps)
            bar.line(
                f"step {steps.stop}/{config.steps}  loss {mean_loss:.4f}",
                f"confident {confident:.0%}  {record['images_per_second']:,.0f} images/s  "
                f"{left:,.0f} s left",
            )
            if number > 1:
                check_shares(job.stage, sizes, hint=_advice())
            job.save(number, parts)
    probs = _predict(average.eval(), images, job)
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


def _pixels(view: View, images: Tensor) -> Tensor:
    return view(images).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def _follow(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the average's parameters towards the model's; copy the buffers, as the reference."""
    old, new = [*average.parameters()], [*model.parameters()]
    torch._foreach_lerp_(old, new, 1 - decay)  # type: ignore[arg-type]
    torch._foreach_copy_([*average.buffers()], [*model.buffers()])


@torch.no_grad()
def _predict(model: nn.Module, images: Tensor, job: Job[Semi]) -> Tensor:
    parts = []
    for part in torch.split(images, 512):
        with job.autocast():
            logits = model(_pixels(plain, part))
        parts.append(logits.float().softmax(1))
    return torch.cat(parts)


def reads(config: Semi, run: Run) -> tuple[Stage, ...]:
    """Read the reliable labels and the backbone (its architecture, at the least)."""
    return (Stage.PRETRAIN, Stage.SELECT_RELIABLE)


WORK = Work(compute, reads)
