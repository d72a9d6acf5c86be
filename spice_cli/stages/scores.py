"""Clusters beside true classes: the metrics, and what must be known to read them."""

from typing import Literal

import torch
from torch import Tensor

from spice_cli.catalog import METRICS, load
from spice_cli.errors import UsageError
from spice_cli.ops.contingency import Contingency, Tabulated
from spice_cli.ops.metrics import many_to_one_accuracy, match
from spice_cli.stages.assignments import Assignments

Average = Literal["arithmetic", "geometric"]
Match = Literal["one-to-one", "many-to-one"]


def score(
    found: Assignments,
    target: Tensor,
    table: Contingency,
    *,
    metrics: tuple[str, ...],
    average: Average,
    matching: Match,
) -> tuple[dict[str, float], list[str]]:
    """Return the `metrics` of clusters and classes `target` (m,), and notes on them.

    `table` counts both. Metrics that are not of a table are of confidence (m,) and of what is right
    (m,) under the one-to-one match. Raises UsageError where these are no probabilities.
    """
    scores, notes = {}, []
    for name in metrics:
        metric = load(METRICS[name])
        if not isinstance(metric, Tabulated):
            scores[name] = float(metric(_probability(name, found), _right(found, target, table)))
            notes.append(f"{name}: right by the one-to-one match")
        elif name == "acc" and matching == "many-to-one":
            scores[name] = many_to_one_accuracy.of(table)
        else:
            scores[name] = float(metric.of(table, *([average] if name == "nmi" else [])))
    if "nmi" in scores:
        notes.append(f"nmi: {average} mean of the entropies")
    if "acc" in scores:
        notes.append(f"acc: clusters matched {matching.replace('-', ' ')}")
    return scores, notes


def _probability(name: str, found: Assignments) -> Tensor:
    if not found.probability:
        raise UsageError(
            f"`{name}` is about probabilities, which this stage does not give",
            hint="--stage self-label",
        )
    return found.confidence


def _right(found: Assignments, target: Tensor, table: Contingency) -> Tensor:
    """Mark the images (m,) whose cluster is matched to their class."""
    classes = torch.full((found.clusters,), -1)
    for cluster, label in match.of(table).items():
        classes[cluster] = label
    return classes[found.cluster] == target
