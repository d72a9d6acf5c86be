"""What a way of selecting makes of all samples, while their neighbours come block by block."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from spice_cli.ops.reliable import Balance, Verdict
from spice_cli.ops.search import Search


class Selection(Protocol):
    """A way of selecting: a class with a `Config`, built from one."""

    neighbors: int
    """How many nearest neighbours it looks at, the sample itself included."""
    balance: Balance

    def hear(self, neighbors: Tensor, labels: Tensor) -> Tensor:
        """Return the few numbers (r, s) that it needs to know of the neighbours (r, v) of samples.

        A sample is its own first neighbour; labels (n,) are of all samples.
        """

    def judge(self, heard: Tensor, voters: int, probs: Tensor) -> Verdict:
        """Judge the samples of probs (n, k) by what was heard (n, s) of `voters` neighbours."""

    def looser(self) -> dict[str, float]:
        """Name settings that keep more, if there are any."""


def judged(
    method: Selection,
    search: Search,
    voters: int,
    probs: Tensor,
    progress: Callable[[int], None] = lambda rows: None,
    *,
    rows: Tensor | None = None,
    complete: Callable[[Tensor], None] = lambda heard: None,
) -> Verdict:
    """Judge the samples of probs (n, k) by the neighbours that a search tells, none of them kept.

    A sample's label is its most probable cluster. `progress` is told how many samples were heard.
    Of `rows` (m,) alone neighbours are searched for, where others search for the rest: then
    `complete` fills in what they heard (n, s), which is 0 here.
    """
    label = probs.argmax(1)
    heard: list[Tensor] = []

    def take(places: Tensor, found: Tensor) -> None:
        said = method.hear(found, label)
        if not heard:
            heard.append(said.new_zeros(len(label), said.shape[1], dtype=torch.int32))
        heard[0][places if rows is None else rows[places]] = said.int()
        progress(len(places))

    search(take, rows)
    complete(heard[0])
    return method.judge(heard[0].long(), voters, probs)
