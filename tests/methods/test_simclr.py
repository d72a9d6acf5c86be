import math
from itertools import product

import pytest
import torch
import torch.nn.functional as F

from spice_cli.methods.plan import Plan
from spice_cli.methods.simclr import SimCLR, nt_xent
from spice_cli.models.resnet import small

PLAN = Plan(images=64, clusters=None, batch=32, epochs=1, steps=2)


def build(width: int = 4) -> SimCLR:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return SimCLR(small(8, width=width), SimCLR.Config(), PLAN)


def loop(z: torch.Tensor, temperature: float, anchors: str) -> torch.Tensor:
    """Equation 1 of the paper, one anchor and one other view at a time."""
    views, n, _ = z.shape
    losses = []
    for a, i in product(range(views if anchors == "both" else 1), range(n)):

        def similar(v: int, j: int, anchor: torch.Tensor = z[a, i]) -> torch.Tensor:
            return (F.cosine_similarity(anchor, z[v, j], dim=0) / temperature).exp()

        negatives = sum(similar(v, j) for v in range(views) for j in range(n) if j != i)
        for v in range(views):
            if v != a:
                losses.append(-(similar(v, i) / (similar(v, i) + negatives)).log())
    return sum(losses) / len(losses)


@pytest.mark.parametrize("views", [2, 3])
@pytest.mark.parametrize("anchors", ["both", "first"])
@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_nt_xent_equals_the_equation_in_value_and_gradient(anchors, temperature, views) -> None:
    z = torch.randn(views, 5, 6, generator=torch.Generator().manual_seed(1)).requires_grad_()
    found, expected = (f(z, temperature, anchors) for f in (nt_xent, loop))
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*(torch.autograd.grad(loss, z)[0] for loss in (found, expected)))


def test_nt_xent_of_identical_rows_is_the_logarithm_of_the_others() -> None:
    assert nt_xent(torch.ones(2, 4, 3), 0.5).item() == pytest.approx(math.log(7))


def test_nt_xent_is_exact_under_autocast() -> None:
    z = torch.randn(2, 5, 6)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(nt_xent(z, 0.1), nt_xent(z, 0.1).float())
        inside = nt_xent(z, 0.1)
    assert torch.equal(inside, nt_xent(z, 0.1))


def test_a_few_steps_bring_the_loss_down() -> None:
    method = build(width=8)
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(32, 3, 8, 8, generator=generator)
    other = images + 0.02 * torch.randn(images.shape, generator=generator)
    optimizer = torch.optim.SGD(method.parameters(), 0.1, momentum=0.9)
    losses = []
    for _ in range(15):
        loss = method(torch.stack([images, other]), torch.arange(32), generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_it_leaves_the_projections_of_all_images() -> None:
    method, images = build().eval(), torch.randn(7, 3, 8, 8)
    with torch.no_grad():
        left = method.leaves(lambda of: of(images))["projections"]
        torch.testing.assert_close(left, F.normalize(method.projector(method.backbone(images))))
