"""What `pretrain` clusters by itself: a method's own head, or k-means on what it projects to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor

from spice_cli.errors import UsageError
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.assignments import KMEANS, assignments

Spice = Callable[..., Any]
TRUTH = torch.from_numpy(load_digits().target)


def leave(path: Path, **tensors: Tensor) -> Run:
    """Put tensors beside the backbone that `pretrain` left, instead of what else it left."""
    run = Run.open(path)
    record = run.record(Stage.PRETRAIN)
    kept = {k: v for k, v in run.read(Stage.PRETRAIN).items() if k.startswith("backbone.")}
    run.write(
        Stage.PRETRAIN,
        kept | tensors,
        config=record.config,
        inputs=record.inputs,
        seed=record.seed,
        environment=record.environment,
        seconds=1.0,
    )
    return run


def projections() -> Tensor:
    """Unit rows that lie close to one of ten axes, as their digit says."""
    noise = torch.randn(len(TRUTH), 10, generator=torch.Generator().manual_seed(0))
    return F.normalize(F.one_hot(TRUTH, 10) + 0.1 * noise)


def test_projections_are_clustered_by_spherical_k_means(spice: Spice, copied: Path) -> None:
    found = assignments(leave(copied, projections=projections()), Stage.PRETRAIN, None)
    assert (found.clusters, found.probability, len(found.rows)) == (10, False, 1797)
    assert found.how.startswith(KMEANS)
    assert found.confidence.min() > 0.5
    result = spice("evaluate", "-r", copied, "--stage", "pretrain", "--metrics", "acc", "ari")
    assert result.stdout == "acc\t1.0\nari\t1.0\n"
    assert "on the method's projections" in result.stderr


def test_a_methods_own_head_goes_before_its_projections(spice: Spice, copied: Path) -> None:
    probs = F.one_hot((TRUTH + 3) % 7, 7).float()
    run = leave(copied, projections=projections(), probs=probs)
    found = assignments(run, Stage.PRETRAIN, None)
    assert torch.equal(found.cluster, (TRUTH + 3) % 7)
    assert (found.clusters, found.probability) == (7, True)
    assert "the method's own head" in spice("evaluate", "-r", copied, "--stage", "pretrain").stderr


def test_a_method_that_clusters_nothing_says_so(spice: Spice, copied: Path) -> None:
    leave(copied)
    result = spice("evaluate", "-r", copied, "--stage", "pretrain", code=3)
    assert "`simclr` left nothing in `pretrain` that clusters images" in result.stderr
    assert "--stage embed" in result.stderr


def test_the_number_of_clusters_may_be_chosen_but_not_above_that_of_images(copied: Path) -> None:
    run = leave(copied, projections=projections())
    assert assignments(run, Stage.PRETRAIN, 4).clusters == 4
    with pytest.raises(UsageError, match="1798 clusters are more than 1797"):
        assignments(run, Stage.PRETRAIN, 1798)


def test_what_later_stages_were_made_of_may_change_and_the_numbers_say_so(
    spice: Spice, copied: Path
) -> None:
    leave(copied, projections=projections())
    result = spice("evaluate", "-r", copied, "--stage", "pretrain")
    assert "neither rankme nor silhouette: `embed`" in result.stderr
