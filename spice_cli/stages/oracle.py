"""What ground truth would have picked. Shown to people, and never fed back into a run."""

from dataclasses import dataclass

from torch import Tensor

from spice_cli.errors import MissingError
from spice_cli.ops.metrics import accuracy
from spice_cli.run.store import Run
from spice_cli.stages.oracle_choices import choices
from spice_cli.track import Track


@dataclass(frozen=True)
class Oracle:
    """ACC of every head that `self-label` stored, all of the epoch that it picked."""

    accuracies: list[float]
    losses: list[float]
    """The selection losses, by which the head was picked: the least."""
    lacks: str = ""
    """What could not be asked, and why."""

    @property
    def picked(self) -> int:
        """The head that the run took, by its loss."""
        return min(range(len(self.losses)), key=self.losses.__getitem__)

    @property
    def best(self) -> int:
        """The head that the oracle takes, by its ACC."""
        return max(range(len(self.accuracies)), key=self.accuracies.__getitem__)

    @property
    def lost(self) -> float:
        """ACC that the unsupervised choice forgoes."""
        return self.accuracies[self.best] - self.accuracies[self.picked]

    @property
    def note(self) -> str:
        """Say it in a sentence, and another of what could not be asked."""
        took = (
            f"of {len(self.losses)} heads it takes {self.best}, "
            f"ACC {self.accuracies[self.best]:.4f}; the selection loss took "
            f"{self.picked}, ACC {self.accuracies[self.picked]:.4f}, {self.lost:.4f} less"
        )
        if len(self.losses) == 1:
            took = f"ACC {self.accuracies[0]:.4f}"
        lacks = f"; {self.lacks}" if self.lacks else ""
        return f"oracle (saw the labels; nothing is picked by it): {took}{lacks}"


def consult(run: Run, labels: Tensor, track: Track) -> Oracle:
    """Score the heads by `labels` (n,), -1 where unknown, on the images that count.

    Raises:
        MissingError: no image that counts has a label; and as `choices`.
    """
    data, counted = run.manifest.data, labels >= 0
    if data.protocol == "split":
        counted[: data.train] = False
    if not bool(counted.any()):
        raise MissingError("no image that the oracle is asked about has a label")
    given = choices(run, track)
    found = [accuracy(row, labels[counted]) for row in given.clusters[:, counted]]
    return Oracle(found, given.losses.tolist(), given.lacks)
