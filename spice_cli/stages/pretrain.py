"""Images in, a backbone out: pretraining without labels."""

import time

import torch
from torch import Tensor

from spice_cli.catalog import METHODS, load
from spice_cli.config.pretrain import Pretrain
from spice_cli.errors import UsageError
from spice_cli.methods.plan import Plan
from spice_cli.ops.schedule import cosine
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.backbone import build
from spice_cli.stages.compiled import compiled
from spice_cli.stages.images import pretraining_images
from spice_cli.stages.job import Job, Work
from spice_cli.stages.optimizers import optimizers, schedule
from spice_cli.stages.order import Order
from spice_cli.stages.parts import Parts
from spice_cli.stages.rendering import Views
from spice_cli.stages.rows import embedder


def compute(job: Job[Pretrain]) -> dict[str, Tensor]:
    """Train the method's backbone (`methods/plan.py`) on the unlabelled and training images."""
    config, device = job.config, job.device
    images, everything = pretraining_images(job.run, device, job.track.say)
    batch = min(config.batch_size, len(images))
    job.group.check_batch(batch, len(images))
    steps = len(images) // batch
    if config.batch_size > len(images):
        job.track.warn(f"`batch_size` is {config.batch_size}, more than there are images: {batch}")
    kind = load(METHODS[config.method])
    settings = kind.Config.model_validate(config.settings)
    with job.seeded():
        backbone = build(config.backbone, config, images.shape[-1])
        stretch = job.group.stretch
        plan = Plan(len(images), config.clusters, batch, config.epochs, steps, stretch)
        method = kind(backbone, settings, plan)
    for warning in method.faults():
        job.track.warn(warning)
    method.to(device, memory_format=torch.channels_last).train()
    trained_by = optimizers(method, config)
    order = Order(images, job.group).to(device)
    trained = {f"optimizer{i}": each for i, each in enumerate(trained_by)}
    parts: Parts = {"method": method, "order": order, **trained}
    done = job.resume(parts)
    draw = Views(images, config.views, method.crops)
    job.group.share(method, draw.render)
    epoch_images = steps * batch

    def loss_of(rows: Tensor, generator: torch.Generator) -> Tensor:
        tickets = draw(rows, generator)
        each = tickets if job.group.world > 1 else draw.render(tickets)
        each = each.view(method.crops, batch, *each.shape[1:])
        with job.autocast():
            loss: Tensor = method(each, rows, generator)
        return loss

    is_compiled = compiled(
        method,
        job.compile,
        steps=config.epochs * steps,
        rehearse=lambda: loss_of(torch.arange(batch, device=device), job.generator("rehearsal")),
        warn=job.track.warn,
    )
    embed, embed_all = (
        embedder(method, part, job, batch=batch, compiled=is_compiled)
        for part in (images, everything)
    )
    with job.track.bar("pretrain", config.epochs * epoch_images, done=done * epoch_images) as bar:
        for epoch in range(done + 1, config.epochs + 1):
            started = time.monotonic()
            if begin := getattr(method, "begin", None):
                begin(epoch, embed, job.generator(epoch, "begin"))
            generator = job.generator(epoch)
            weights = getattr(method, "weights", lambda: None)()
            seen = order(epoch_images, weights, generator)
            total = torch.zeros((), device=device)
            for step, rows in enumerate(seen.view(steps, batch)):
                factor = cosine(
                    (epoch - 1) * steps + step,
                    config.epochs * steps,
                    base=1.0,
                    warmup=round(config.warmup * steps),
                )
                schedule(trained_by, factor)
                loss = loss_of(rows, generator)
                method.zero_grad(set_to_none=True)
                torch.autograd.backward(loss)
                for optimizer in trained_by:
                    optimizer.step()
                total += loss.detach()
                bar.advance(batch)
            loss_mean = float(total / steps)
            seconds = time.monotonic() - started
            record = {
                "epoch": epoch,
                "loss": loss_mean,
                "lr": trained_by[0].param_groups[0]["lr"],
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
    kept = {f"backbone.{name}": value for name, value in method.backbone.state_dict().items()}
    leaves = getattr(method, "leaves", None)
    return kept | (leaves(embed_all) if leaves else {})


def resolve(config: Pretrain, run: Run) -> Pretrain:
    """Fill in the number of clusters where the method needs it, and forget it where it does not.

    So that asking for another number of clusters leaves such a backbone up to date.
    """
    if not getattr(load(METHODS[config.method]), "uses_clusters", False):
        return config.model_copy(update={"clusters": None})
    data = run.manifest.data
    clusters = config.clusters or data.classes
    if clusters is None or clusters < 2:
        found = "no classes" if clusters is None else "a single class"
        raise UsageError(
            f"`{config.method}` needs a number of clusters, and the data set declares {found}",
            hint="pass `--clusters K`",
        )
    if clusters > data.train:
        raise UsageError(f"{clusters} clusters are more than {data.train} training images")
    return config.model_copy(update={"clusters": clusters})


def reads(config: Pretrain, run: Run) -> tuple[Stage, ...]:
    """Read the images alone."""
    return ()


WORK = Work(compute, reads, resolve)
