import torch
import torch.nn.functional as F

from spice_cli.config import SelfLabel
from spice_cli.heads.spice import Heads, Spice


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def blobs(n: int = 300, k: int = 3, d: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.arange(n) % k
    noise = 0.3 * torch.randn(n, d, generator=generator())
    return F.normalize(3 * torch.eye(k, d)[labels] + noise), labels


def test_each_head_is_a_two_layer_perceptron_of_its_own() -> None:
    heads = Heads(4, 16, 8, 3, generator())
    x = torch.randn(5, 16, generator=generator())
    for h, logits in enumerate(heads(x)):
        hidden = F.relu(F.linear(x * 4.0, heads.weight1[h].T, heads.bias1[h, 0]))
        assert torch.allclose(
            logits, F.linear(hidden, heads.weight2[h].T, heads.bias2[h, 0]), atol=1e-5
        )


def test_heads_may_each_have_features_of_their_own() -> None:
    heads = Heads(2, 16, 8, 3, generator())
    x = torch.randn(2, 5, 16, generator=generator())
    assert torch.allclose(heads(x)[1], heads(x[1])[1], atol=1e-6)


def test_a_head_has_as_many_parameters_as_the_reference() -> None:
    heads = Heads(1, 512, 512, 10, generator())
    assert sum(p.numel() for p in heads.parameters()) == 267_786


def test_heads_learn_separate_blobs_without_labels() -> None:
    x, truth = blobs()
    method = Spice(16, 3, SelfLabel(heads=4, batch_size=50), generator())
    noise = generator()
    for _ in range(15):
        index = method.label(x, x)
        method.train(x, index, noise)
    losses, probs = method.score(x)
    predicted = probs[losses.argmin()].argmax(1)
    table = torch.zeros(3, 3).index_put_((predicted, truth), torch.ones(300), accumulate=True)
    assert (table > 0).sum() == 3


def test_the_number_of_updates_is_passes_times_whole_batches() -> None:
    x, _ = blobs()
    method = Spice(16, 3, SelfLabel(heads=2, batch_size=128, passes=3), generator())
    method.train(x, method.label(x, x), generator())
    steps = next(iter(method.optimizer.state.values()))["step"]
    assert int(steps) == 3 * (300 // 128)


def test_the_selection_loss_is_that_of_the_heads_own_labels() -> None:
    x, _ = blobs(n=12)
    method = Spice(16, 3, SelfLabel(heads=2), generator())
    losses, probs = method.score(x)
    index = method.label(x, x)
    for h in range(2):
        pairs = [(int(row), c) for c in range(3) for row in index[h, c]]
        slow = [-torch.log_softmax(probs[h, row], 0)[c] for row, c in pairs]
        assert torch.allclose(losses[h], torch.stack(slow).mean(), atol=1e-6)
