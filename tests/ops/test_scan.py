import math

import pytest
import torch
import torch.nn.functional as F

from spice_cli.ops.scan import confident_loss, inconsistency, scan_loss, selection_loss

GENERATOR = torch.Generator().manual_seed(0)
ANCHORS, NEIGHBORS = 2 * torch.randn(2, 3, 7, 4, generator=GENERATOR, dtype=torch.float64)


def entropy(probs: torch.Tensor) -> torch.Tensor:
    share = probs.mean(0)
    return -sum(s * s.log() for s in share)


def slow_scan(anchors: torch.Tensor, neighbors: torch.Tensor, weight: float) -> torch.Tensor:
    losses = []
    for a, b in zip(anchors, neighbors, strict=True):
        p, q = a.softmax(1), b.softmax(1)
        dots = torch.stack([p[i] @ q[i] for i in range(len(p))])
        losses.append(F.binary_cross_entropy(dots, torch.ones_like(dots)) - weight * entropy(p))
    return torch.stack(losses)


def test_the_loss_and_its_gradient_are_those_of_the_equation() -> None:
    ours = [t.clone().requires_grad_() for t in (ANCHORS, NEIGHBORS)]
    slow = [t.clone().requires_grad_() for t in (ANCHORS, NEIGHBORS)]
    one, other = scan_loss(*ours, 5.0), slow_scan(*slow, 5.0)
    torch.testing.assert_close(one, other)
    one.sum().backward()
    other.sum().backward()
    for mine, theirs in zip(ours, slow, strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)


def test_the_least_value_is_minus_the_weight_times_log_k() -> None:
    sure = 50 * torch.eye(4)
    assert scan_loss(sure, sure, 5.0).item() == pytest.approx(-5 * math.log(4))


def test_pairs_that_do_not_meet_give_a_finite_loss_and_gradient() -> None:
    far = (300 * torch.eye(4)).requires_grad_()
    loss = scan_loss(far, far.detach().roll(1, dims=1), 0.0)
    loss.backward()
    assert loss.item() == pytest.approx(300, rel=0.01)
    assert far.grad is not None
    assert far.grad.isfinite().all()


def test_inconsistency_is_minus_the_log_of_the_inner_product() -> None:
    p, q = ANCHORS[0].softmax(1), NEIGHBORS[0].softmax(1)
    found = inconsistency(p.log(), q.log())
    torch.testing.assert_close(found, -(p * q).sum(1).log())


def test_the_selection_loss_compares_every_image_with_itself_and_its_neighbours() -> None:
    near = torch.tensor([[i, (i + 1) % 7, (i + 3) % 7] for i in range(7)])
    probs = ANCHORS[0].softmax(1)
    pairs = [-torch.log(probs[i] @ probs[j]) for i in range(7) for j in near[i].tolist()]
    expected = torch.stack(pairs).mean() - entropy(probs)
    torch.testing.assert_close(selection_loss(ANCHORS[0], near), expected)


@pytest.mark.parametrize("balance", [True, False])
def test_self_labelling_equals_torchs_weighted_cross_entropy(balance: bool) -> None:
    weak = 4 * torch.randn(40, 4, generator=GENERATOR, dtype=torch.float64)
    ours = torch.randn(40, 4, generator=GENERATOR, dtype=torch.float64).requires_grad_()
    slow = ours.detach().clone().requires_grad_()
    loss, kept = confident_loss(weak, ours, threshold=0.9, balance=balance)
    sure, label = weak.softmax(1).max(1)
    mask = sure > 0.9
    assert torch.equal(kept, mask)
    assert 4 < int(mask.sum()) < 40
    counts = torch.bincount(label[mask], minlength=4)
    weight = torch.ones(4, dtype=torch.float64)
    if balance:
        weight = torch.where(counts > 0, mask.sum() / counts.clamp(min=1), 1.0).double()
    expected = F.cross_entropy(slow[mask], label[mask], weight=weight)
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=1e-6)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, slow.grad, rtol=1e-6, atol=1e-7)


def test_with_balance_the_mean_is_over_the_classes_present() -> None:
    weak = 20 * torch.eye(3)[[0, 0, 0, 1]]
    strong = torch.randn(4, 3, generator=GENERATOR)
    each = F.cross_entropy(strong, torch.tensor([0, 0, 0, 1]), reduction="none")
    loss, _ = confident_loss(weak, strong, threshold=0.9, balance=True)
    torch.testing.assert_close(loss, (each[:3].mean() + each[3]) / 2)


def test_weak_views_are_not_taught_and_nobody_sure_is_no_loss() -> None:
    weak, strong = torch.zeros(2, 5, 3).unbind()
    weak.requires_grad_()
    strong.requires_grad_()
    loss, kept = confident_loss(weak, strong, threshold=0.99, balance=True)
    loss.backward()
    assert loss.item() == 0
    assert not kept.any()
    assert weak.grad is None
    assert strong.grad is not None
    assert not strong.grad.any()
