import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spice_cli.config.self_label import SelfLabel
from spice_cli.heads.spice_config import SpiceConfig
from spice_cli.heads.spice_rounds import Rounds, Walk


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def blobs(n: int = 300, k: int = 3, d: int = 16) -> tuple[Tensor, Tensor]:
    labels = torch.arange(n) % k
    noise = 0.3 * torch.randn(n, d, generator=generator())
    return F.normalize(3 * torch.eye(k, d)[labels] + noise), labels


def test_heads_learn_separate_blobs_without_labels() -> None:
    x, truth = blobs()
    method = Rounds(16, 3, SelfLabel(heads=4, batch_size=50), SpiceConfig(), generator())
    noise = generator()
    for _ in range(15):
        index = method.label(x, x)
        method.train(x, index, noise)
    losses, clusters = method.score(x, x)
    predicted = clusters[losses.argmin()]
    table = torch.zeros(3, 3).index_put_((predicted, truth), torch.ones(300), accumulate=True)
    assert (table > 0).sum() == 3


def test_the_number_of_updates_is_passes_times_whole_batches() -> None:
    x, _ = blobs()
    method = Rounds(16, 3, SelfLabel(heads=2, batch_size=128), SpiceConfig(passes=3), generator())
    method.train(x, method.label(x, x), generator())
    steps = next(iter(method.optimizer.state.values()))["step"]
    assert int(steps) == 3 * (300 // 128)


@pytest.mark.parametrize("name", ["double-softmax", "plain", "temperature"])
def test_training_equals_separate_perceptrons_with_one_adam(name: str) -> None:
    x, _ = blobs(n=60)
    config = SelfLabel(heads=3, batch_size=16)
    own = SpiceConfig(passes=2, loss=name, entropy=0.1, hidden=8)
    method = Rounds(16, 3, config, own, generator())
    weights = [getattr(method.heads, key).detach() for key in ("weight1", "bias1")]
    weights += [getattr(method.heads, key).detach() for key in ("weight2", "bias2")]
    slow = [[nn.Parameter(each[h].clone()) for each in weights] for h in range(3)]
    adam = torch.optim.Adam([p for head in slow for p in head], lr=config.lr, foreach=False)
    index = method.label(x, x)
    found = method.train(x, index, generator())
    noise, losses = generator(), []
    for _ in range(2):
        order = torch.randperm(60, generator=noise)
        for start in range(0, 48, 16):
            each = []
            for h, (w1, b1, w2, b2) in enumerate(slow):
                places = order[start : start + 16]
                rows, label = index[h].flatten()[places], places // 20
                logits = F.relu(4 * x[rows] @ w1 + b1) @ w2 + b2
                probs = logits.softmax(1)
                given = {"double-softmax": probs, "plain": logits, "temperature": logits / 0.2}
                share = probs.mean(0)
                loss = F.cross_entropy(given[name], label)
                each.append(loss + 0.1 * (share * share.log()).sum())
            adam.zero_grad()
            torch.stack(each).mean().backward()
            adam.step()
            losses.append(torch.stack(each).detach())
    torch.testing.assert_close(found, torch.stack(losses).mean(0))
    for key, place in (("weight1", 0), ("bias1", 1), ("weight2", 2), ("bias2", 3)):
        expected = torch.stack([head[place].detach() for head in slow])
        torch.testing.assert_close(getattr(method.heads, key).detach(), expected)


def test_bfloat16_products_train_float32_weights_to_the_same_clusters() -> None:
    x, _ = blobs()
    config = SelfLabel(heads=4, batch_size=50)
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        method = Rounds(16, 3, config, SpiceConfig(), generator(), dtype=dtype)
        assert all(p.dtype == torch.float32 for p in method.heads.parameters())
        noise = generator()
        for _ in range(15):
            method.train(x, method.label(x, x), noise)
        losses, clusters = method.score(x, x)
        assert losses.dtype == torch.float32
        found.append((losses, clusters))
    torch.testing.assert_close(found[0][0], found[1][0], atol=0.01, rtol=0)
    assert (found[0][1] == found[1][1]).float().mean() > 0.99


def test_what_wraps_a_pass_sees_the_same_shapes_every_time() -> None:
    seen = set()

    def wrap(walk: Walk) -> Walk:
        def wrapped(*tensors: Tensor) -> Tensor:
            seen.add(tuple(tensor.shape for tensor in tensors))
            return walk(*tensors)

        return wrapped

    x, _ = blobs()
    config = SelfLabel(heads=2, batch_size=128)
    method = Rounds(16, 3, config, SpiceConfig(passes=3), generator(), wrap=wrap)
    for _ in range(2):
        method.train(x, method.label(x, x), generator())
    assert seen == {((300, 16), (2, 2, 128), (2, 1, 128))}


def test_the_selection_loss_is_that_of_the_heads_own_labels() -> None:
    x, _ = blobs(n=12)
    method = Rounds(16, 3, SelfLabel(heads=2), SpiceConfig(), generator())
    losses, clusters = method.score(x, x)
    probs = method.heads(x).detach().softmax(2)
    assert torch.equal(clusters, probs.argmax(2))
    index = method.label(x, x)
    for h in range(2):
        pairs = [(int(row), c) for c in range(3) for row in index[h, c]]
        slow = [-torch.log_softmax(probs[h, row], 0)[c] for row, c in pairs]
        assert torch.allclose(losses[h], torch.stack(slow).mean(), atol=1e-6)
