"""The probes of `evaluate`: how far classes can be read off the embeddings.

Under protocol `split` the training images teach and the test images are asked. Under `whole` it is
every image against all others; for classifiers, a random fifth of each class against the rest.
"""

from collections.abc import Callable
from statistics import mean, stdev
from typing import Literal

import torch

from spice_cli.ops.contingency import tabulate
from spice_cli.ops.kmeans import kmeans as cluster
from spice_cli.ops.linear_probe import EPOCHS, linear_accuracy, stratified
from spice_cli.ops.metrics import accuracy, adjusted_rand_index, normalized_mutual_information
from spice_cli.ops.probe import (
    knn_accuracy,
    leave_one_out,
    neighbor_purity,
    purity_without_itself,
)
from spice_cli.ops.quality import stability
from spice_cli.stages.assignments import known_clusters
from spice_cli.stages.probed import Found, Probed

HELD_OUT, SEED, STARTS = 0.2, 0, 10


def knn(probed: Probed) -> Found:
    """Accuracy of a weighted vote of the 20 nearest neighbours."""
    note = "weighted vote of the 20 nearest, by cosine"
    return _nearby("knn", probed, knn_accuracy, leave_one_out), note


def neighbors(probed: Probed) -> Found:
    """Mean share of the 20 nearest neighbours that have an image's class."""
    note = "share of the 20 nearest, by cosine, that have the image's class"
    return _nearby("neighbors", probed, neighbor_purity, purity_without_itself), note


def linear(probed: Probed) -> Found:
    """Accuracy of a linear classifier trained by SGD for 100 epochs."""
    return _linear("linear", probed, "sgd")


def lars(probed: Probed) -> Found:
    """Accuracy of a linear classifier trained by LARS for 90 epochs."""
    return _linear("lars", probed, "lars")


def kmeans(probed: Probed) -> Found:
    """Mean and deviation of ACC, NMI and ARI over ten runs of k-means, and how far these agree."""
    count = known_clusters(probed.run, probed.clusters)
    note = (
        f"mean and deviation over {STARTS} runs of one start each (seeds 0 to {STARTS - 1}), "
        f"{count} clusters matched one to one; stability: mean ARI of two of them"
    )
    asked, train = probed.sides()[1], probed.embeddings[: probed.run.manifest.data.train]
    if not bool(asked.any()):
        return {}, note
    found = []
    with probed.track.bar("k-means", STARTS, unit="runs") as bar:
        for seed in range(STARTS):
            generator = torch.Generator().manual_seed(seed)
            centers = cluster(train, count, generator=generator, restarts=1).centers
            found.append((probed.embeddings[asked] @ centers.T).argmax(1))
            bar.advance(1)
    tables = [tabulate(labels, probed.labels[asked]) for labels in found]
    each = {
        "acc": [accuracy.of(table) for table in tables],
        "nmi": [normalized_mutual_information.of(table, probed.average) for table in tables],
        "ari": [adjusted_rand_index.of(table) for table in tables],
    }
    scores = dict[str, float]()
    for name, values in each.items():
        scores |= {f"kmeans-{name}": mean(values), f"kmeans-{name}-std": stdev(values)}
    return scores | {"kmeans-stability": stability(found)["ari"]}, note


def _nearby(
    name: str,
    probed: Probed,
    across: Callable[..., float],
    within: Callable[..., float],
) -> dict[str, float]:
    x, y, (first, last) = probed.embeddings, probed.labels, probed.sides()
    if probed.whole:
        return {name: within(x[first], y[first])} if int(first.sum()) > 1 else {}
    if not bool(first.any() and last.any()):
        return {}
    return {name: across(x[first], y[first], x[last], y[last])}


def _linear(name: str, probed: Probed, optimizer: Literal["sgd", "lars"]) -> Found:
    x, y, (first, last) = probed.embeddings, probed.labels, probed.sides()
    epochs = EPOCHS[optimizer]
    note = f"linear classifier of the frozen embeddings, {optimizer}, {epochs} epochs"
    if probed.whole:
        rows = first.nonzero()[:, 0]
        held = stratified(y[rows], HELD_OUT, torch.Generator().manual_seed(SEED))
        first, last = torch.zeros_like(first), torch.zeros_like(last)
        first[rows[~held]], last[rows[held]] = True, True
        note += f"; a random {HELD_OUT:.0%} of each class (seed {SEED}) against the rest"
    if not bool(first.any() and last.any()):
        return {}, note
    with probed.track.bar(name, epochs * int(first.sum())) as bar:
        right = linear_accuracy(
            x[first],
            y[first],
            x[last],
            y[last],
            generator=torch.Generator().manual_seed(SEED),
            optimizer=optimizer,
            progress=bar.advance,
        )
    return {name: right}, note
