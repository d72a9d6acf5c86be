import math
from itertools import product

import pytest
import torch
import torch.nn.functional as F

from spice_cli.methods.simclr import SimCLR, nt_xent
from spice_cli.models.resnet import small


def loop(z: torch.Tensor, temperature: float, anchors: str) -> float:
    """Equation 1 of the paper, one anchor and one other view at a time."""
    views, n, _ = z.shape
    losses = []
    for a, i in product(range(views if anchors == "both" else 1), range(n)):

        def similar(v: int, j: int, anchor: torch.Tensor = z[a, i]) -> float:
            return math.exp(F.cosine_similarity(anchor, z[v, j], dim=0).item() / temperature)

        negatives = sum(similar(v, j) for v in range(views) for j in range(n) if j != i)
        for v in range(views):
            if v != a:
                losses.append(-math.log(similar(v, i) / (similar(v, i) + negatives)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("views", [2, 3])
@pytest.mark.parametrize("anchors", ["both", "first"])
@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_nt_xent_equals_the_equation(anchors, temperature, views) -> None:
    z = torch.randn(views, 5, 6, generator=torch.Generator().manual_seed(1))
    expected = loop(z, temperature, anchors)
    assert nt_xent(z, temperature, anchors).item() == pytest.approx(expected, rel=1e-5)


def test_nt_xent_of_identical_rows_is_the_logarithm_of_the_others() -> None:
    assert nt_xent(torch.ones(2, 4, 3), 0.5).item() == pytest.approx(math.log(7))


def test_nt_xent_is_exact_under_autocast() -> None:
    z = torch.randn(2, 5, 6)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(nt_xent(z, 0.1), nt_xent(z, 0.1).float())
        inside = nt_xent(z, 0.1)
    assert torch.equal(inside, nt_xent(z, 0.1))


def test_a_few_steps_bring_the_loss_down() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        method = SimCLR(small(8, width=8), SimCLR.Config())
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(32, 3, 8, 8, generator=generator)
    other = images + 0.02 * torch.randn(images.shape, generator=generator)
    optimizer = torch.optim.SGD(method.parameters(), 0.1, momentum=0.9)
    losses = []
    for _ in range(15):
        loss = method(torch.stack([images, other]), generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_no_setting_is_known_to_fail() -> None:
    method = SimCLR(small(8, width=4), SimCLR.Config())
    assert method.faults(images=10, batch_size=4) == []
