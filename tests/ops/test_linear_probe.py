import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import make_blobs
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from spice_cli.ops.linear_probe import EPOCHS, linear_accuracy, stratified


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blobs(n: int = 900, spread: float = 4.0) -> tuple[Tensor, Tensor]:
    x, y = make_blobs(n, n_features=16, centers=5, cluster_std=spread, random_state=0)
    return F.normalize(torch.from_numpy(x).float()), torch.from_numpy(y) * 3 - 4


@pytest.mark.parametrize("optimizer", ["sgd", "lars"])
@pytest.mark.parametrize("spread", [4.0, 9.0])
def test_it_comes_to_the_accuracy_of_logistic_regression(optimizer: str, spread: float) -> None:
    x, y = blobs(spread=spread)
    train, test = slice(0, 600), slice(600, None)
    oracle = LogisticRegression(C=100, max_iter=2000).fit(x[train], y[train])
    expected = oracle.score(x[test], y[test])
    found = linear_accuracy(
        x[train], y[train], x[test], y[test], generator=seeded(), optimizer=optimizer
    )
    assert found == pytest.approx(expected, abs=0.04)
    assert expected > 0.6


def test_the_length_of_features_does_not_matter_and_the_generator_decides() -> None:
    x, y = blobs(200)
    args = (x[:150], y[:150], x[150:], y[150:])
    one = linear_accuracy(*args, generator=seeded())
    assert one == linear_accuracy(*args, generator=seeded())
    longer = (7 * x[:150], y[:150], 0.1 * x[150:], y[150:])
    assert linear_accuracy(*longer, generator=seeded()) == pytest.approx(one, abs=0.05)


@pytest.mark.parametrize("optimizer", ["sgd", "lars"])
def test_a_handful_of_samples_is_enough_and_every_epoch_is_reported(optimizer: str) -> None:
    x, told = torch.eye(3), []
    found = linear_accuracy(
        x,
        torch.tensor([5, 6, 7]),
        x,
        torch.tensor([5, 6, 9]),
        generator=seeded(),
        optimizer=optimizer,
        progress=told.append,
    )
    assert found <= 2 / 3
    assert told == [3] * EPOCHS[optimizer]


@settings(deadline=None)
@given(
    st.lists(st.integers(-2, 4), min_size=1, max_size=80),
    st.sampled_from([0.0, 0.2, 0.5, 1.0]),
    st.integers(0, 10**6),
)
def test_a_stratified_share_is_of_every_class(labels: list[int], share: float, seed: int) -> None:
    y = torch.tensor(labels)
    marked = stratified(y, share, seeded(seed))
    for label in set(labels):
        own = y == label
        assert int(marked[own].sum()) == round(share * int(own.sum()))


def test_what_is_marked_depends_on_the_generator() -> None:
    y = torch.arange(100) % 2
    marks = [stratified(y, 0.2, seeded(seed)) for seed in range(60)]
    assert torch.equal(marks[3], stratified(y, 0.2, seeded(3)))
    assert torch.stack(marks).float().mean(0).max() < 0.7
    assert torch.stack(marks).any(0).all()
