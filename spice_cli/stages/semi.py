"""Reliable labels in, a classifier of all images out: semi-supervised retraining."""

import time
from copy import deepcopy

import torch
from torch import Tensor

from spice_cli.catalog import SEMI, load
from spice_cli.config.pretrain import Pretrain
from spice_cli.config.semi import Semi
from spice_cli.ops.residence import picked
from spice_cli.ops.schedule import semi_steps
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.semi.method import reads_features, renewals, starts_from_head
from spice_cli.semi.settled import Settled
from spice_cli.stages.backbone import pretrain_config
from spice_cli.stages.classify import predict
from spice_cli.stages.compiled import compiled
from spice_cli.stages.images import pretraining_images
from spice_cli.stages.job import Job, Work, check_shares, setting
from spice_cli.stages.parts import Parts
from spice_cli.stages.renewal import Labels, renew, renewal_rounds
from spice_cli.stages.semi_start import check_start, parameter_groups, starting_model
from spice_cli.stages.semi_step import Step

ROUND = 50
"""Steps between two lines of the log, and the least between two checkpoints or two looks."""
LOOKS = 40
"""How often a training of the planned length looks at how many predictions changed."""
WATCHED = 5_000
"""Training images at most whose predictions it looks at."""


def compute(job: Job[Semi]) -> dict[str, Tensor]:
    """Train on the training rows; what counts is the last moving average, picked by nothing."""
    config, device, planned = job.config, job.device, job.config.steps or 0
    images, train, pool = _images(job)
    chosen = job.run.read(Stage.SELECT_RELIABLE)
    labels = Labels(len(train), chosen["index"].to(device), chosen["label"].to(device))
    kind = load(SEMI[config.method])
    model = starting_model(job, chosen["label"], from_head=starts_from_head(kind))
    average = deepcopy(model).requires_grad_(False).eval()
    clusters = model.fc.out_features
    with job.seeded():
        width = (model.fc.in_features,) if reads_features(kind) else ()
        method = kind(clusters, kind.Config.model_validate(config.settings), *width).to(device)
    watched = picked(train, _some(len(train), job.generator("watched")))
    settled = Settled(len(watched), share=config.stop, patience=config.patience).to(device)
    optimizer = torch.optim.SGD(
        parameter_groups([model, method], config.weight_decay),
        lr=config.lr,
        momentum=config.momentum,
        nesterov=True,
        fused=True,
    )
    parts: Parts = {
        "model": model,
        "average": average,
        "method": method,
        "labels": labels,
        "settled": settled,
        "optimizer": optimizer,
    }
    done = job.resume(parts)
    update = Step(job, pool, model, average, method, optimizer)
    job.group.share(model)
    job.group.share(average)
    rounds = -(-planned // ROUND)
    renewing = renewal_rounds(rounds, renewals(method))
    compiled(model, job.compile, steps=planned, rehearse=update.rehearse, warn=job.track.warn)
    with job.track.bar(
        "semi", planned * update.images, done=min(done * ROUND, planned) * update.images
    ) as bar:
        for number in range(done + 1, rounds + 1):
            if settled.over:
                break
            started = time.monotonic()
            generator = job.generator(number)
            index, label = labels.known()
            known = index + len(pool) - len(train), label
            total = torch.zeros(2, device=device)
            sizes = torch.zeros(clusters, dtype=torch.long, device=device)
            steps = range((number - 1) * ROUND, min(number * ROUND, planned))
            for step in steps:
                loss, guess, trust = update(step, known, generator)
                total += torch.stack([loss, trust.mean()])
                sizes.scatter_add_(0, guess, torch.ones_like(guess))
                bar.advance(update.images)
            mean_loss, confident = (total / len(steps)).tolist()
            seconds = time.monotonic() - started
            record = {
                "epoch": number,
                "step": steps.stop,
                "loss": mean_loss,
                "confident": confident,
                "largest_share": float(sizes.max() / sizes.sum()),
                "lr": update.rate(steps[-1]),
                "seconds": round(seconds, 3),
                "images_per_second": round(len(steps) * update.images / seconds, 1),
            }
            if number % max(1, rounds // LOOKS) == 0:
                record["changed"] = settled.look(predict(average, watched, job).argmax(1))
            if number in renewing and renew(job, average, train, labels, number):
                record["reliable"] = len(labels.known()[0])
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
    probs = predict(average, images, job, getattr(method, "calibrated", None))
    sizes = torch.bincount(probs.argmax(1), minlength=clusters)
    check_shares(job.stage, sizes, hint=_advice())
    kept = {"model": average} | ({"method": method} if reads_features(kind) else {})
    weights = {f"{n}.{k}": v for n, part in kept.items() for k, v in part.state_dict().items()}
    return {**weights, "probs": probs}


def check_init(config: Semi, pretrained: Pretrain) -> None:
    """Raise if it is to start from weights that there are not."""
    check_start(config, pretrained, from_head=starts_from_head(load(SEMI[config.method])))


def resolve(config: Semi, run: Run) -> Semi:
    """Fill in the number of steps."""
    check_init(config, pretrain_config(run))
    if config.steps is not None:
        return config
    (reliable,) = run.record(Stage.SELECT_RELIABLE).tensors["index"].shape
    data = run.manifest.data
    pool = data.train + (data.unlabelled if config.unlabelled else 0)
    steps = semi_steps(reliable, pool, config.batch_size, config.ratio)
    return config.model_copy(update={"steps": steps})


def reads(config: Semi, run: Run) -> tuple[Stage, ...]:
    """Read the reliable labels, the backbone (its architecture, at the least), and maybe a head."""
    head = (Stage.SELF_LABEL,) if starts_from_head(load(SEMI[config.method])) else ()
    return (Stage.PRETRAIN, *head, Stage.SELECT_RELIABLE)


def _advice() -> str:
    return f"a lower rate usually helps: {setting(Stage.SEMI, lr=0.003)}"


def _images(job: Job[Semi]) -> tuple[Tensor, Tensor, Tensor]:
    """Return all images, the training ones, and the pool to guess at, which ends with these."""
    count = job.run.manifest.data.train
    if not job.config.unlabelled:
        images = job.images()
        return images, images[:count], images[:count]
    pool, images = pretraining_images(job.run, job.device, job.track.say)
    return images, images[:count], pool


def _some(n: int, generator: torch.Generator) -> Tensor:
    return torch.randperm(n, generator=generator, device=generator.device)[:WATCHED]


WORK = Work(compute, reads, resolve)
