"""Images in, a backbone out: contrastive pretraining without labels."""

import time

import torch
from torch import Tensor

from spice_cli.catalog import METHODS, load
from spice_cli.config import Pretrain
from spice_cli.ops.augment import contrastive
from spice_cli.ops.schedule import cosine
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.backbone import build
from spice_cli.stages.job import Job, Work


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
    trained = [parameter for parameter in method.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(
        trained,
        lr=config.lr,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        nesterov=config.nesterov,
        fused=True,
    )
    parts = {"method": method, "optimizer": optimizer}
    done = job.resume(parts)
    steps = len(images) // batch
    views = config.views.model_dump()
    epoch_images = steps * batch
    with job.track.bar("pretrain", config.epochs * epoch_images, done=done * epoch_images) as bar:
        for epoch in range(done + 1, config.epochs + 1):
            started = time.monotonic()
            generator = job.generator(epoch)
            order = torch.randperm(len(images), generator=generator, device=device)
            total = torch.zeros((), device=device)
            for step, rows in enumerate(order[:epoch_images].view(steps, batch)):
                rate = cosine(
                    (epoch - 1) * steps + step,
                    config.epochs * steps,
                    base=config.lr,
                    warmup=round(config.warmup * steps),
                )
                for group in optimizer.param_groups:
                    group["lr"] = rate
                part = images[rows]
                pair = [_view(part, generator, views) for _ in range(2)]
                with job.autocast():
                    loss = method(*pair, generator)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                total += loss.detach()
                bar.advance(batch)
            seconds = time.monotonic() - started
            record = {
                "epoch": epoch,
                "loss": float(total / steps),
                "lr": rate,
                "seconds": round(seconds, 3),
                "images_per_second": round(epoch_images / seconds, 1),
            }
            job.note(record)
            left = (config.epochs - epoch) * seconds
            bar.line(
                f"epoch {epoch}/{config.epochs}  loss {record['loss']:.4f}  lr {rate:.4g}  "
                f"{record['images_per_second']:,.0f} images/s  {left:,.0f} s left"
            )
            job.save(epoch, parts)
    return {f"backbone.{name}": value for name, value in method.backbone.state_dict().items()}


def _view(images: Tensor, generator: torch.Generator, views: dict[str, object]) -> Tensor:
    view: Tensor = contrastive(images, generator, **views)  # type: ignore[arg-type]
    return view.contiguous(memory_format=torch.channels_last)


def reads(config: Pretrain, run: Run) -> tuple[Stage, ...]:
    """Read the images alone."""
    return ()


WORK = Work(compute, reads)
