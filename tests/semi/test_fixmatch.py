import torch
from torch import nn

from spice_cli.semi.fixmatch import fixmatch


class Fixed(nn.Module):
    """Logits that were decided beforehand, whatever the images."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits


def test_the_loss_is_that_of_the_equation() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(2 + 5 + 5, 3, generator=generator)
    label = torch.tensor([2, 0])
    model = Fixed(logits)
    pixels = torch.zeros(12, 3, 1, 1)
    loss, guess, sure = fixmatch(
        model, pixels[:2], label, pixels[:5], pixels[:5], threshold=0.8, weight=2.0
    )
    probs = logits.softmax(1)
    known = -(probs[0, 2].log() + probs[1, 0].log()) / 2
    taught, kept = torch.zeros(()), 0
    for weak, strong in zip(probs[2:7], probs[7:], strict=True):
        if weak.max() >= 0.8:
            kept += 1
            taught -= strong[weak.argmax()].log()
    assert 0 < kept < 5
    assert torch.allclose(loss, known + 2.0 * taught / 5, atol=1e-6)
    assert sure.sum() == kept
    assert torch.equal(guess, probs[2:7].argmax(1))


def test_weak_views_teach_and_are_not_taught() -> None:
    model = Fixed(torch.tensor([[0.0, 0.0], [9.0, 0.0], [0.0, 1.0]]))
    pixels = torch.zeros(1, 3, 1, 1)
    loss, _, _ = fixmatch(
        model, pixels, torch.tensor([0]), pixels, pixels, threshold=0.95, weight=1.0
    )
    loss.backward()
    assert model.logits.grad is not None
    assert model.logits.grad[1].abs().sum() == 0
    assert model.logits.grad[2].abs().sum() > 0
