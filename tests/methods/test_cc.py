import math
from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F

from spice_cli.methods.cc import CC, imbalance
from spice_cli.methods.plan import Plan, Rate
from spice_cli.models.resnet import small

PLAN = Plan(images=64, clusters=3, batch=8, epochs=4, steps=8)


def build(**settings) -> CC:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return CC(small(8, width=4), CC.Config(**{"dim": 6, **settings}), PLAN)


def views(n: int = 8):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, n, 3, 8, 8, generator=generator), torch.arange(n), generator


def contrast(first, second, temperature: float):
    """NT-Xent of pairs of vectors, one anchor at a time, against all other vectors."""
    both = [*first, *second]
    total = 0
    for i, anchor in enumerate(both):
        similar = [(F.cosine_similarity(anchor, o, dim=0) / temperature).exp() for o in both]
        own = similar[(i + len(first)) % len(both)]
        total = total - (own / (sum(similar) - similar[i])).log() / len(both)
    return total


def surplus(probs):
    """ln(k) less the entropy of the mean."""
    share = [column.sum() / len(probs) for column in probs.T]
    return math.log(len(share)) + sum(p * p.log() for p in share)


def test_loss_and_gradient_are_those_of_the_equations_one_vector_at_a_time() -> None:
    method = build(temperature=0.4, cluster_temperature=0.8, balance=0.7)
    twin = deepcopy(method)
    for each in twin.backbone.modules():
        if hasattr(each, "splits"):
            each.splits = 1
    pair, rows, generator = views()
    loss = method(pair, rows, generator)
    loss.backward()
    features = [twin.backbone(view) for view in pair]
    z = [twin.projector(each) for each in features]
    y = [twin.clusterer(each).softmax(1) for each in features]
    expected = contrast(*z, 0.4) + contrast(y[0].T, y[1].T, 0.8) + 0.7 * sum(map(surplus, y))
    expected.backward()
    torch.testing.assert_close(loss, expected)
    for a, b in zip(method.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-3, atol=1e-5)


def test_imbalance_is_nothing_for_even_clusters_and_ln_k_a_view_for_a_single_one() -> None:
    assert imbalance(torch.full((2, 5, 4), 0.25)).item() == pytest.approx(0, abs=1e-6)
    single = torch.zeros(2, 5, 4).index_fill(2, torch.tensor(1), 1.0)
    assert imbalance(single).item() == pytest.approx(2 * math.log(4))


@pytest.mark.parametrize("logit", [-80.0, -200.0, -1e30])
@pytest.mark.parametrize("clusters", [[0], [0, 2]])
def test_empty_clusters_give_finite_losses_and_gradients(clusters, logit) -> None:
    method = build()
    with torch.no_grad():
        method.clusterer[-1].bias[clusters] = logit
    loss = method(*views())
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in method.parameters())


def test_a_cluster_that_is_nearly_empty_is_filled_again() -> None:
    method = build()
    with torch.no_grad():
        method.clusterer[-1].bias[0] = -6.0
    optimizer = torch.optim.Adam(method.parameters(), 0.01)
    shares = []
    for _ in range(30):
        optimizer.zero_grad()
        method(*views()).backward()
        optimizer.step()
        with torch.no_grad():
            features = method.eval().backbone(views()[0].flatten(0, 1))
        shares.append(method.train().clusterer(features).softmax(1).mean(0)[0].item())
    assert shares[0] < 0.05
    assert shares[-1] > 0.1


def test_every_rate_is_constant_unless_told() -> None:
    assert build().rates() == {"": Rate(fixed=True)}
    assert build(constant=False).rates() == {"": Rate()}


def test_it_leaves_both_heads_outputs() -> None:
    method, images = build().eval(), views()[0][0]
    with torch.no_grad():
        left = method.leaves(lambda of: of(images))
        features = method.backbone(images)
        torch.testing.assert_close(left["probs"], method.clusterer(features).softmax(1))
        torch.testing.assert_close(left["projections"], F.normalize(method.projector(features)))
