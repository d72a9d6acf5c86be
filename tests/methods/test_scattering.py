import math

import pytest
import torch
import torch.nn.functional as F

from spice_cli.methods.scattering import prototype_scattering


def unit(*shape: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


def direction(rows: list[torch.Tensor]) -> torch.Tensor:
    mean = sum(rows) / len(rows)
    return mean / mean.dot(mean).sqrt()


def loop(online, target, labels, clusters, temperature) -> torch.Tensor:
    """One cluster at a time; those absent from the batch stand in each sum as exp(-10)."""
    each = labels.tolist()
    members = {c: [i for i, label in enumerate(each) if label == c] for c in sorted(set(each))}
    losses = []
    for c, rows in members.items():
        own = direction([online[i] for i in rows])
        positive = own.dot(direction([target[i] for i in rows])) / temperature
        total = positive.exp()
        for j in range(clusters):
            if j != c and j in members:
                other = direction([online[i] for i in members[j]])
                total = total + (own.dot(other) / temperature).exp()
            elif j != c:
                total = total + math.exp(-10)
        losses.append(total.log() - positive)
    return sum(losses) / len(losses)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
@pytest.mark.parametrize(
    ("labels", "clusters"),
    [
        ([0, 1, 2, 0, 1, 2, 2], 3),
        ([0, 4, 4, 0, 4, 2, 2], 6),
        ([3, 3, 3, 3, 3, 3, 3], 5),
        ([0, 1, 2, 3, 4, 5, 6], 7),
    ],
)
def test_value_and_gradient_are_those_of_the_equation(labels, clusters, temperature) -> None:
    labels = torch.tensor(labels)
    online, target = unit(7, 5, seed=1).requires_grad_(), unit(7, 5, seed=2)
    twin = online.detach().clone().requires_grad_()
    expected = loop(twin, target, labels, clusters, temperature)
    found = prototype_scattering(online.float(), target.float(), labels, clusters, temperature)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)
    expected.backward()
    found.backward()
    torch.testing.assert_close(online.grad, twin.grad, rtol=1e-4, atol=1e-6)


def test_the_target_gets_no_part_in_telling_other_clusters_apart() -> None:
    online, labels = unit(6, 4, seed=1).float(), torch.tensor([0, 0, 1, 1, 2, 2])
    same = prototype_scattering(online, online, labels, 3, 0.5)
    prototypes = F.normalize(torch.stack([online[labels == c].sum(0) for c in range(3)]))
    expected = F.cross_entropy(prototypes @ prototypes.T / 0.5, torch.arange(3))
    torch.testing.assert_close(same, expected)


def test_it_is_lower_where_clusters_lie_apart() -> None:
    labels = torch.arange(12) % 3
    apart, near = torch.eye(4)[labels], F.normalize(torch.ones(12, 4) + 0.1 * torch.eye(4)[labels])
    losses = [prototype_scattering(rows, rows, labels, 3, 0.5) for rows in (apart, near)]
    assert losses[0] < losses[1]


def test_it_is_exact_under_autocast() -> None:
    rows, labels = unit(9, 6, seed=1).float(), torch.arange(9) % 4
    outside = prototype_scattering(rows, rows, labels, 5, 0.5)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(prototype_scattering(rows, rows, labels, 5, 0.5), outside)
