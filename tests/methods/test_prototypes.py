import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from spice_cli.methods.prototypes import (
    LEAST,
    concentrations,
    drawn,
    granularities,
    prototype_nce,
)


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator), dim=-1)


def slow_phi(distances, labels, temperature, clusters) -> np.ndarray:
    """Equation 12 with the reference's care for singletons and outliers, cluster by cluster."""
    phi = np.zeros(clusters)
    for c in range(clusters):
        own = [d for d, label in zip(distances, labels, strict=True) if label == c]
        if len(own) > 1:
            phi[c] = sum(own) / len(own) / math.log(len(own) + 10)
    highest = phi.max()
    for c in range(clusters):
        if list(labels).count(c) <= 1:
            phi[c] = highest
    phi = np.clip(phi, np.percentile(phi, 10), np.percentile(phi, 90))
    return temperature * phi / phi.mean()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_concentrations_are_those_of_the_rule(seed, temperature) -> None:
    generator = torch.Generator().manual_seed(seed)
    distances = torch.rand(60, generator=generator)
    labels = torch.randint(14, (60,), generator=generator)
    labels[:3] = torch.tensor([14, 15, 16])
    found = concentrations(distances, labels, temperature, 18)
    expected = slow_phi(distances.tolist(), labels.tolist(), temperature, 18)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)
    assert found.mean().item() == pytest.approx(temperature)


def test_singletons_and_empty_clusters_get_the_highest_concentration() -> None:
    labels = torch.tensor([0, 0, 1, 1, 2, 2, 3])
    distances = torch.tensor([0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 9.0])
    phi = concentrations(distances, labels, 1.0, 5)
    assert phi[3] == phi[4] == phi[2] == phi.max()


def test_outliers_are_clipped_to_the_tenth_and_ninetieth_percentile() -> None:
    labels = torch.arange(11).repeat_interleave(2)
    distances = torch.tensor([1e-9, *range(10, 19), 1e6]).repeat_interleave(2)
    phi = concentrations(distances, labels, 1.0, 11)
    assert phi[0] == phi[1] == phi.min()
    assert phi[10] == phi[9] == phi.max()


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_concentrations_are_never_zero_though_images_are_equal(spread) -> None:
    labels = torch.arange(10).repeat_interleave(3)
    distances = torch.zeros(30)
    distances[-3:] = spread
    phi = concentrations(distances, labels, 0.2, 10)
    assert phi.isfinite().all()
    assert (phi >= 0.2 * LEAST * 0.999).all()


def test_drawn_are_only_prototypes_that_are_not_in_the_batch_and_all_alike() -> None:
    labels = torch.tensor([0, 3, 3, 9, 4])
    times = drawn(labels, 10, 60_000, torch.Generator().manual_seed(0))
    assert times.sum() == 60_000
    assert not times[[0, 3, 4, 9]].any()
    torch.testing.assert_close(times[[1, 2, 5, 6, 7, 8]], torch.full((6,), 1e4), rtol=0.05, atol=0)


def test_nothing_is_drawn_where_all_prototypes_are_in_the_batch() -> None:
    times = drawn(torch.arange(4), 4, 100, torch.Generator().manual_seed(0))
    assert torch.equal(times, torch.zeros(4))


def loop(queries, labels, prototypes, phi, negatives) -> torch.Tensor:
    """Equation 11 for one granularity, one query and one negative at a time."""
    losses = []
    for query, label in zip(queries, labels, strict=True):
        positive = (query.dot(prototypes[label]) / phi[label]).exp()
        total = positive + sum((query.dot(prototypes[j]) / phi[j]).exp() for j in negatives)
        losses.append(-(positive / total).log())
    return sum(losses) / len(losses)


@pytest.mark.parametrize("negatives", [[3, 4, 4, 4, 5], [5], []])
def test_value_and_gradient_are_those_of_the_equation(negatives) -> None:
    queries, prototypes = unit(5, 4).requires_grad_(), unit(6, 4, seed=1)
    twin = queries.detach().clone().requires_grad_()
    labels, phi = torch.tensor([0, 1, 2, 1, 0]), 0.2 + torch.rand(6)
    times = torch.bincount(torch.tensor(negatives, dtype=torch.long), minlength=6).float()
    found = prototype_nce(queries, labels, prototypes, phi, times)
    expected = loop(twin, labels, prototypes, phi, negatives)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    found.backward()
    expected.backward()
    torch.testing.assert_close(queries.grad, twin.grad, rtol=1e-4, atol=1e-6)


def test_it_is_exact_under_autocast() -> None:
    queries, prototypes, labels = unit(5, 8), unit(6, 8), torch.arange(5)
    given = (queries, labels, prototypes, torch.full((6,), 0.3), torch.ones(6))
    outside = prototype_nce(*given)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(prototype_nce(*given), outside)


@pytest.mark.parametrize(
    ("images", "size", "expected"),
    [
        (50_000, 128, (250, 500, 1000)),
        (50_000, 512, (512, 1024, 2048)),
        (1797, 256, (256, 449)),
        (3, 2, (2,)),
    ],
)
def test_granularities_are_the_references_for_its_data_set(images, size, expected) -> None:
    assert granularities(images, size) == expected
