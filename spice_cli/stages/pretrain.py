"""Images in, a backbone out: contrastive pretraining without labels."""

import time
from typing import Any

import torch
from torch import Tensor

from spice_cli.catalog import METHODS, load
from spice_cli.config import Pretrain
from spice_cli.ops.augment import contrastive
from spice_cli.ops.muon import muon, sgd
from spice_cli.ops.schedule import cosine
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.backbone import build
from spice_cli.stages.compiled import compiled
from spice_cli.stages.job import Job, Parts, Work


def compute(job: Job[Pretrain]) -> dict[str, Tensor]:
    """Train the method's backbone on the run's training images."""
    config, device = job.config, job.device
    images = job.images()[: job.run.manifest.data.train]
    batch = min(config.batch_size, len(images))
    kind = load(METHODS[config.method])
    settings = kind.Config.model_validate(config.settings)
    if config.batch_size > len(images):
        job.track.warn(f"`batch_size` is {config.batch_size}, more than there are images: {batch}")
    with job.seeded():
        backbone = build(config.backbone, config, images.shape[-1])
        method = kind(backbone, settings)
    for warning in method.faults(images=len(images), batch_size=batch):
        job.track.warn(warning)
    method.to(device, memory_format=torch.channels_last).train()
    optimizers = _optimizers(method, config)
    for group in _groups(optimizers):
        group["initial_lr"] = group["lr"]
    parts: Parts = {"method": method, **{f"optimizer{i}": o for i, o in enumerate(optimizers)}}
    done = job.resume(parts)
    steps = len(images) // batch
    views = config.views.model_dump()
    epoch_images = steps * batch

    def loss_of(rows: Tensor, generator: torch.Generator) -> Tensor:
        part = images[rows].repeat(method.crops, 1, 1, 1)
        pixels = contrastive(part, generator, **views).contiguous(memory_format=torch.channels_last)
        with job.autocast():
            loss: Tensor = method(pixels.view(method.crops, batch, *pixels.shape[1:]), generator)
        return loss

    compiled(
        method,
        config.compile,
        steps=config.epochs * steps,
        rehearse=lambda: loss_of(torch.arange(batch, device=device), job.generator("rehearsal")),
        warn=job.track.warn,
    )
    with job.track.bar("pretrain", config.epochs * epoch_images, done=done * epoch_images) as bar:
        for epoch in range(done + 1, config.epochs + 1):
            started = time.monotonic()
            generator = job.generator(epoch)
            order = torch.randperm(len(images), generator=generator, device=device)
            total = torch.zeros((), device=device)
            for step, rows in enumerate(order[:epoch_images].view(steps, batch)):
                factor = cosine(
                    (epoch - 1) * steps + step,
                    config.epochs * steps,
                    base=1.0,
                    warmup=round(config.warmup * steps),
                )
                for group in _groups(optimizers):
                    group["lr"] = group["initial_lr"] * factor
                loss = loss_of(rows, generator)
                method.zero_grad(set_to_none=True)
                torch.autograd.backward(loss)
                for optimizer in optimizers:
                    optimizer.step()
                total += loss.detach()
                bar.advance(batch)
            loss_mean = float(total / steps)
            seconds = time.monotonic() - started
            record = {
                "epoch": epoch,
                "loss": loss_mean,
                "lr": config.lr * factor,
                "seconds": round(seconds, 3),
                "images_per_second": round(epoch_images / seconds, 1),
            }
            job.note(record)
            left = (config.epochs - epoch) * seconds
            bar.line(
                f"epoch {epoch}/{config.epochs}  loss {loss_mean:.4f}",
                f"lr {record['lr']:.4g}  {record['images_per_second']:,.0f} images/s  "
                f"{left:,.0f} s left",
            )
            job.save(epoch, parts)
    return {f"backbone.{name}": value for name, value in method.backbone.state_dict().items()}


def _optimizers(method: torch.nn.Module, config: Pretrain) -> list[torch.optim.Optimizer]:
    shared = {"lr": config.lr, "momentum": config.momentum, "weight_decay": config.weight_decay}
    if config.optimizer == "muon":
        return muon(method, **shared, adam_lr=config.adam_lr)
    return sgd(method, **shared, nesterov=config.nesterov)


def _groups(optimizers: list[torch.optim.Optimizer]) -> list[dict[str, Any]]:
    return [group for each in optimizers for group in each.param_groups]


def reads(config: Pretrain, run: Run) -> tuple[Stage, ...]:
    """Read the images alone."""
    return ()


WORK = Work(compute, reads)
