import torch

from spice_cli.semi.fixmatch import FixMatch
from spice_cli.semi.joint import Joint
from spice_cli.semi.method import reads_features, renewals, starts_from_head


def slow(weak: torch.Tensor, strong: torch.Tensor, threshold: float) -> torch.Tensor:
    """Equation 6 of the first version, an image at a time."""
    total = torch.zeros(())
    for calm, shaken in zip(weak.softmax(1), strong, strict=True):
        if calm.max() >= threshold:
            total = total - shaken.log_softmax(0)[calm.argmax()]
    return total / len(weak)


def test_loss_and_gradient_are_those_of_the_equation() -> None:
    generator = torch.Generator().manual_seed(0)
    weak, strong = 4 * torch.randn(2, 50, 3, generator=generator)
    mine, theirs = (strong.clone().requires_grad_() for _ in range(2))
    loss, guess, sure = Joint(3, Joint.Config(threshold=0.8))(weak, mine)
    expected = slow(weak, theirs, 0.8)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(mine.grad, theirs.grad)
    assert torch.equal(guess, weak.argmax(1))
    assert 0 < sure.sum() < 50


def test_it_asks_for_the_head_and_for_new_labels_and_fixmatch_does_not() -> None:
    assert starts_from_head(Joint)
    assert not starts_from_head(FixMatch)
    assert renewals(Joint(3, Joint.Config())) == 3
    assert renewals(Joint(3, Joint.Config(renewals=0))) == renewals(FixMatch(3, FixMatch.Config()))
    assert not reads_features(Joint)
