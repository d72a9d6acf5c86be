"""What answers make of the clusters: the stage `ask`."""

import time

import torch
import torch.nn.functional as F

from spice_cli.config.frozen import Frozen
from spice_cli.errors import UsageError
from spice_cli.ops.constraints import corrected, told
from spice_cli.ops.spreading import NEIGHBORS
from spice_cli.run.curation import save_curation
from spice_cli.run.manifest import Stage
from spice_cli.stages.answers import mark
from spice_cli.stages.asked_head import fitted
from spice_cli.stages.asking import Asking
from spice_cli.stages.perform import environment

BLOCK = 4096


class Ask(Frozen):
    """How answers were made into clusters."""

    method: str = "propagation"
    of: Stage
    """Whose clusters were asked about."""
    space: str
    """`embed`: its features; `network`: those of the trained network of that stage."""
    neighbors: int = NEIGHBORS
    told: int
    """Answers that went into it."""
    answers: str
    """Hash of them."""


def ask(asking: Asking, seed: int) -> bool:
    """Make the answers into clusters, kept as the stage `ask`; tell whether there was need to.

    What answers change spreads over the graph of training images, and a perceptron is fitted to
    what comes out, for all other images. Answered images are where they were answered to be, and
    answers that agree move nothing. Names, merges and splits hold on. Raises UsageError where
    nothing was answered.
    """
    if not asking.told:
        raise UsageError("there are no answers yet", hint="spice ask --questions 50")
    started, run, asked = time.monotonic(), asking.run, asking.asked
    said, train, device = asking.unmerged(), run.manifest.data.train, asking.device
    space = "network" if asked.network else "embed"
    config = Ask(of=asked.stage, space=space, told=len(said), answers=mark(asking.answers))
    resolved, inputs = config.model_dump(mode="json"), run.inputs(*asked.reads)
    if run.up_to_date(Stage.ASK, resolved, inputs, seed):
        return False
    first = F.pad(asking.guessed, (0, asking.new - asking.guessed.shape[1])).to(device)
    answers = told(said, first)
    targets = corrected(asking.graph, first, asking.margin, answers)
    targets[answers.rows] = answers.targets
    generator = torch.Generator(device).manual_seed(seed)
    head = fitted(asking.features, targets, answers.rows, generator, asking.track)
    every = asked.features.to(device)
    probs = torch.cat([head(part)[0].softmax(1) for part in torch.split(every, BLOCK)])
    probs[:train] = targets
    stored = {f"heads.{name}": value for name, value in head.named_parameters()}
    tensors = {**stored, "probs": probs}
    with run.lock():
        record = run.write(
            Stage.ASK,
            {name: value.detach().cpu().contiguous() for name, value in tensors.items()},
            config=resolved,
            inputs=inputs,
            seed=seed,
            environment=environment(device, "fp32"),
            seconds=time.monotonic() - started,
        )
        save_curation(run.path, asking.curation.model_copy(update={"of": record.sha256}))
    moved = int((probs[:train].argmax(1).cpu() != asking.first).sum())
    asking.track.say(
        f"`ask` done in {time.monotonic() - started:.1f} s: {len(said)} answers moved {moved:,} of "
        f"{train:,} images"
    )
    return True
