"""Which images to ask a person about, and what was answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from spice_cli.ops.constraints import Field, completed, told
from spice_cli.ops.questions import options, several, worth
from spice_cli.ops.spreading import Graph
from spice_cli.ops.spreading import graph as graph_of
from spice_cli.run.curation import Curation, load_curation
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.answers import Answer, add_answers, load_answers
from spice_cli.stages.asked_of import Asked, asked_of
from spice_cli.stages.edits import columns_after, count_after, edited
from spice_cli.stages.gallery import shown
from spice_cli.track import Track

PROTOTYPES = 3


@dataclass(frozen=True)
class Question:
    """An image, and the clusters that it may be in, the likeliest first."""

    row: int
    path: str
    options: tuple[int, ...]
    shares: tuple[float, ...]
    """How likely each is by now."""


class Asking:
    """The questions about a run's clusters, and the answers so far.

    Only training images are asked about. What a person merged, split and named counts.
    """

    def __init__(
        self, run: Run, device: torch.device, track: Track, *, stored: bool = False
    ) -> None:
        """Read the furthest result, leaving an earlier `ask` aside; as in `asked_of`."""
        self.run, self.device, self.track = run, device, track
        self.asked: Asked = asked_of(run, device, track, stored=stored)
        self.of = run.record(self.asked.stage).sha256
        self.curation = self._curation()
        self.names = dict(self.curation.names)
        train = run.manifest.data.train
        scores, edits = self.asked.scores[:train], self.curation.edits
        self.features = self.asked.features[:train].to(device)
        self.guessed, self.first = scores.exp(), scores.argmax(1)
        cluster = edited(self.first, edits, self.asked.embeddings)
        self.clusters = count_after(scores.shape[1], edits)
        self.columns = columns_after(scores.shape[1], edits)
        own = self.columns[self.first]
        others = scores.masked_fill(self.columns[None] == own[:, None], -torch.inf).amax(1)
        self.margin = (scores.amax(1) - others).nan_to_num(posinf=1e9).to(device)
        self._shown = cluster
        self._sure = self.margin.cpu()
        self.answers, self.others = load_answers(run.path, self.of)

    @property
    def told(self) -> int:
        """How many answers say something."""
        return len(self.said())

    @property
    def present(self) -> list[int]:
        """All clusters that may be answered, in order."""
        answered = {said for said in self._known().values() if isinstance(said, int)}
        return sorted({*self._shown.tolist(), *answered})

    @property
    def new(self) -> int:
        """The number that a new cluster gets, one that no other ever had."""
        said = [each for each in self.said().values() if isinstance(each, int)]
        return max([self.clusters - 1, *said]) + 1

    def next(self) -> Question | None:
        """Return the question whose answer would teach most; None where there is none left."""
        field, closed = self._field(), self._closed()
        value = worth(field, closed)
        row = int(value.argmax())
        return self._question(field.probs, row) if float(value[row]) >= 0 else None

    def questions(self, count: int) -> list[Question]:
        """Return several at once, for who does not wait for the answers."""
        field = self._field()
        return [self._question(field.probs, row) for row in several(field, self._closed(), count)]

    def answer(self, row: int, said: int | tuple[int, ...] | None) -> None:
        """Keep an answer in the run: a cluster, those that it is not, or None for passed over."""
        self.keep([(row, said)])

    def keep(self, answers: Sequence[tuple[int, int | tuple[int, ...] | None]]) -> None:
        """Keep several answers."""
        made = [
            Answer(
                row=row,
                path=self.asked.paths[row],
                cluster=said if isinstance(said, int) else None,
                none_of=said if isinstance(said, tuple) else (),
                of=self.of,
            )
            for row, said in answers
        ]
        add_answers(self.run.path, made)
        for each in made:
            self.answers.pop(each.row, None)
            self.answers[each.row] = each

    def prototypes(self, cluster: int, row: int) -> list[str]:
        """Return the paths of images that stand for a cluster beside the one at `row`."""
        mine = (self._shown == cluster).nonzero()[:, 0]
        mine = mine[mine != row]
        if not len(mine):
            said = [r for r, each in self.answers.items() if each.cluster == cluster and r != row]
            mine = torch.tensor(said, dtype=torch.int64)
        if not len(mine):
            return []
        generator = torch.Generator().manual_seed(0)
        chosen = shown(mine, self._sure[mine], self.features.cpu(), PROTOTYPES, generator)
        return [self.asked.paths[row] for row in chosen.prototypes.tolist()]

    @cached_property
    def graph(self) -> Graph:
        """Return who is near whom among the training images."""
        return graph_of(self.features)

    def said(self) -> dict[int, int | tuple[int, ...]]:
        """Return what was said, by row; nothing of images that were passed over."""
        return {row: each.said for row, each in self.answers.items() if each.said is not None}

    def unmerged(self) -> dict[int, int | tuple[int, ...]]:
        """Return what was said in terms of the clusters before any merge and split.

        Of an image that was said to be where it is shown, that is where it was before them.
        """
        columns, known = self.columns.tolist(), self._known()
        return {
            row: (int(self.first[row]) if known[row] == int(self._shown[row]) else each)
            if isinstance(each, int)
            else (*(c for c, into in enumerate(columns) if into in each), *_beyond(each, columns))
            for row, each in self.said().items()
        }

    def _known(self) -> dict[int, int | tuple[int, ...]]:
        """Return what was said in terms of the clusters after all merges."""
        said = self.said()
        largest = [each if isinstance(each, int) else max(each) for each in said.values()]
        into = columns_after(max([self.clusters - 1, *largest]) + 1, self.curation.edits).tolist()
        return {
            row: into[each] if isinstance(each, int) else tuple({into[c] for c in each})
            for row, each in said.items()
        }

    def _closed(self) -> Tensor:
        return torch.tensor([*self.answers], dtype=torch.int64, device=self.device)

    def _field(self) -> Field:
        """Return what follows from the answers, for the clusters as a person knows them."""
        first = self._merged(self.new).to(self.device)
        return completed(self.graph, first, self.margin, told(self._known(), first))

    def _merged(self, width: int) -> Tensor:
        """Return the first guesses (m, width) for the clusters as a person knows them."""
        first = torch.zeros(len(self._shown), width).index_add_(1, self.columns, self.guessed)
        own, rows = self.columns[self.first], torch.arange(len(first))
        part = torch.where(own == self._shown, 0.0, first[rows, own])
        first[rows, own] -= part
        first[rows, self._shown] += part
        return first

    def _question(self, probs: Tensor, row: int) -> Question:
        mine, there = probs[row].cpu(), torch.tensor(self.present)
        chosen = [int(there[place]) for place in options(mine[there])]
        shares = tuple(round(float(mine[each]), 4) for each in chosen)
        return Question(row, self.asked.paths[row], tuple(chosen), shares)

    def _curation(self) -> Curation:
        """Return what was decided about the last `ask` of this result, else about the result."""
        record = self.run.manifest.stages.get(Stage.ASK)
        if record and record.inputs.get(self.asked.stage.value) == self.of:
            return load_curation(self.run.path, record.sha256)
        return load_curation(self.run.path, self.of)


def _beyond(said: tuple[int, ...], columns: list[int]) -> tuple[int, ...]:
    return tuple(each for each in said if each >= len(columns))
