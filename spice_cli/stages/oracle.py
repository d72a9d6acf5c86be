"""What ground truth would have picked. Shown to people, and never fed back into a run."""

from dataclasses import dataclass

from torch import Tensor

from spice_cli.errors import MissingError
from spice_cli.ops.metrics import accuracy
from spice_cli.run.files import quoted
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.stored_heads import clusters_of_heads


@dataclass(frozen=True)
class Oracle:
    """ACC of every head that `self-label` stored, all of the epoch that it picked."""

    accuracies: list[float]
    losses: list[float]
    """The selection losses, by which the head was picked: the least."""

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
        """Say it in a sentence."""
        return (
            f"oracle (saw the labels; nothing is picked by it): of {len(self.losses)} heads it "
            f"takes {self.best}, ACC {self.accuracies[self.best]:.4f}; the selection loss took "
            f"{self.picked}, ACC {self.accuracies[self.picked]:.4f}, {self.lost:.4f} less"
        )


def consult(run: Run, labels: Tensor) -> Oracle:
    """Score the stored heads by `labels` (n,), -1 where unknown, on the images that count.

    Raises:
        MissingError: no image that counts has a label, or `self-label` is not there or stored no
            heads that can be read again.
    """
    data, counted = run.manifest.data, labels >= 0
    if data.protocol == "split":
        counted[: data.train] = False
    if not bool(counted.any()):
        raise MissingError("no image that the oracle is asked about has a label")
    clusters = clusters_of_heads(run)
    if clusters is None:
        method = run.record(Stage.SELF_LABEL).config.get("method", "it")
        raise MissingError(
            f"`{method}` stored no heads on the embeddings that an oracle could choose from",
            hint=f"spice self-label --method spice -r {quoted(run.path)}",
        )
    losses = run.read(Stage.SELF_LABEL, "losses")["losses"]
    found = [accuracy(row, labels[counted]) for row in clusters[:, counted]]
    return Oracle(found, losses.tolist())
