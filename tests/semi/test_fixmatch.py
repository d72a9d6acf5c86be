import torch
import torch.nn.functional as F

from spice_cli.semi.fixmatch import FixMatch


def test_the_loss_is_that_of_the_equation() -> None:
    generator = torch.Generator().manual_seed(0)
    weak, strong = 4 * torch.randn(2, 50, 3, generator=generator)
    loss, guess, sure = FixMatch(3, FixMatch.Config(threshold=0.8))(weak, strong)
    taught, kept = 0.0, 0
    for calm, shaken in zip(weak.softmax(1), strong.softmax(1), strict=True):
        if calm.max() >= 0.8:
            kept += 1
            taught -= float(shaken[calm.argmax()].log())
    assert 0 < kept < 50
    torch.testing.assert_close(float(loss), taught / 50)
    assert sure.sum() == kept
    assert torch.equal(guess, weak.argmax(1))


def test_an_unsure_prediction_teaches_nothing() -> None:
    weak = torch.tensor([[9.0, 0.0], [0.1, 0.0]])
    strong = torch.zeros(2, 2, requires_grad=True)
    loss, _, sure = FixMatch(2, FixMatch.Config())(weak, strong)
    loss.backward()
    assert sure.tolist() == [1, 0]
    assert strong.grad is not None
    assert strong.grad.abs().sum(1).gt(0).tolist() == [True, False]
    assert torch.allclose(loss, F.cross_entropy(torch.zeros(1, 2), torch.tensor([0])) / 2)
