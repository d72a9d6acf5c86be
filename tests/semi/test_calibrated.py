import torch
import torch.nn.functional as F
from torch import Tensor

from spice_cli.ops.calibration import expected_calibration_error
from spice_cli.ops.regions import mini_clusters
from spice_cli.semi.calibrated import Calibrated, surest


def batch(size: int = 40, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    weak, strong = 3 * torch.randn(2, size, 4, generator=generator)
    return weak, strong, torch.randn(size, 6, generator=generator)


def built(seed: int = 0) -> Calibrated:
    torch.manual_seed(seed)
    method = Calibrated(4, Calibrated.Config(regions=2), 6)
    torch.nn.init.normal_(method.out.weight)
    torch.nn.init.normal_(method.out.bias)
    return method


def slow_surest(confidence: list[float], guess: list[int]) -> list[float]:
    teaches = [0.0] * len(guess)
    for cluster in set(guess):
        members = [i for i, own in enumerate(guess) if own == cluster]
        members.sort(key=lambda i: (-confidence[i], i))
        for i in members[: round(sum(confidence[i] for i in members))]:
            teaches[i] = 1.0
    return teaches


def slow_loss(method: Calibrated, weak: Tensor, strong: Tensor, features: Tensor) -> Tensor:
    """The description, an image at a time."""
    region = mini_clusters(features, 8).tolist()
    probs = weak.softmax(1)
    honest, wanted = [], []
    for i, row in enumerate(features):
        unit = row / row.norm() * 6**0.5
        hidden = (method.hidden.weight @ unit + method.hidden.bias).clamp_min(0)
        factor = 2 / (1 + (-(method.out.weight @ hidden + method.out.bias)).exp())
        honest.append((weak[i] * factor).softmax(0))
        same = [j for j, own in enumerate(region) if own == region[i]]
        wanted.append(sum(probs[j] for j in same) / len(same))
    guess = weak.argmax(1).tolist()
    teaches = slow_surest([float(each.detach().max()) for each in honest], guess)
    total = torch.zeros(())
    for i, label in enumerate(guess):
        total = total - teaches[i] * strong[i].log_softmax(0)[label]
        total = total - (wanted[i] * honest[i].log()).sum()
    return total / len(weak)


def test_loss_and_gradients_equal_a_slow_loop() -> None:
    weak, strong, features = batch()
    mine, theirs = built(), built()
    own, other = (strong.clone().requires_grad_() for _ in range(2))
    loss, guess, teaches = mine(weak, own, features)
    expected = slow_loss(theirs, weak, other, features)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(own.grad, other.grad)
    for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-6)
        assert a.grad.abs().sum() > 0
    assert torch.equal(guess, weak.argmax(1))
    assert 0 < teaches.sum() < 40


def test_nothing_flows_back_through_weak_views_or_features() -> None:
    weak, strong, features = (each.requires_grad_() for each in batch())
    built()(weak, strong, features)[0].backward()
    assert weak.grad is None
    assert features.grad is None


def test_as_many_of_a_cluster_teach_as_should_be_right() -> None:
    generator = torch.Generator().manual_seed(0)
    confidence = (torch.rand(200, generator=generator) * 8).round() / 8
    guess = torch.randint(4, (200,), generator=generator)
    found = surest(confidence, guess, 5)
    assert found.tolist() == slow_surest(confidence.tolist(), guess.tolist())


def test_it_starts_as_sure_as_the_network_and_never_changes_what_it_says() -> None:
    weak, _, features = batch()
    fresh = Calibrated(4, Calibrated.Config(), 6)
    assert torch.equal(fresh.calibrated(weak, features), weak)
    assert torch.equal(built().calibrated(weak, features).argmax(1), weak.argmax(1))


def test_it_learns_to_doubt_where_neighbours_are_told_different_things() -> None:
    """Half of the space is pure; in the other half a sure network says either at random."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    method = Calibrated(2, Calibrated.Config(), 2)
    optimizer = torch.optim.SGD(method.parameters(), 0.1, momentum=0.9)

    def draw(size: int) -> tuple[Tensor, Tensor, Tensor]:
        mixed = torch.rand(size, generator=generator) < 0.5
        features = F.one_hot(mixed.long(), 2) + torch.randn(size, 2, generator=generator) / 9
        said = torch.where(mixed, torch.rand(size, generator=generator) < 0.5, False)
        return 6.0 * F.one_hot(said.long(), 2), features, ~said

    for _ in range(200):
        weak, features, _ = draw(64)
        loss, _, _ = method(weak, weak, features)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    weak, features, right = draw(1000)
    before = expected_calibration_error(weak.softmax(1).amax(1), right)
    honest = method.calibrated(weak, features).softmax(1).amax(1)
    after = expected_calibration_error(honest.detach(), right)
    assert before > 0.2
    assert after < before / 3
