import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from spice_cli.ops.distill import DECAY, linear_student


def sample(n: int = 400, d: int = 6, k: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = 3 * torch.randn(n, d, generator=generator) + torch.arange(d)
    return x, (x @ torch.randn(d, k, generator=generator)).softmax(1)


def test_it_says_what_a_linear_head_says() -> None:
    x, probs = sample()
    weight, bias = linear_student(x, probs)
    found = (x @ weight.T + bias).softmax(1)
    assert (found.argmax(1) == probs.argmax(1)).float().mean() > 0.99
    assert (found - probs).abs().mean() < 0.02


def test_hard_targets_give_the_logistic_regression_of_scikit_learn() -> None:
    x, probs = sample()
    label = probs.argmax(1)
    x = (x - x.mean(0)) / x.std(0, correction=0)
    weight, bias = linear_student(x, torch.nn.functional.one_hot(label).float())
    oracle = LogisticRegression(C=1 / (DECAY * len(x)), tol=1e-8, max_iter=5000)
    oracle.fit(x.double().numpy(), label.numpy())
    ours = (x @ weight.T + bias).softmax(1).numpy()
    assert np.abs(ours - oracle.predict_proba(x.double().numpy())).max() < 0.02


def test_nothing_is_drawn_and_constant_features_do_no_harm() -> None:
    x, probs = sample()
    x[:, 0] = 1
    before = torch.random.get_rng_state()
    first, again = linear_student(x, probs), linear_student(x, probs)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert all(each.isfinite().all() for each in first)
    assert torch.equal(torch.random.get_rng_state(), before)
