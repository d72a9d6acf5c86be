"""What every way of trusting guesses must keep, run over the catalogue."""

import pytest
import torch
from torch import Tensor

from spice_cli.catalog import SEMI, load
from spice_cli.config.frozen import Frozen
from spice_cli.config.semi import Semi

every_method = pytest.mark.parametrize("name", SEMI)


def build(name: str, clusters: int = 5) -> torch.nn.Module:
    kind = load(SEMI[name])
    return kind(clusters, kind.Config())  # type: ignore[no-any-return]


def batch(seed: int, size: int = 24) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    weak, strong = 6 * torch.randn(2, size, 5, generator=generator)
    return weak, strong


@every_method
@pytest.mark.parametrize("size", [1, 24])
def test_it_returns_a_scalar_loss_the_guesses_and_weights_from_0_to_1(name: str, size: int) -> None:
    weak, strong = batch(0, size)
    loss, guess, trust = build(name)(weak, strong)
    assert loss.shape == ()
    assert loss.isfinite()
    assert torch.equal(guess, weak.argmax(1))
    assert trust.shape == (size,)
    assert bool(((trust >= 0) & (trust <= 1)).all())


@every_method
def test_weak_views_teach_and_are_not_taught(name: str) -> None:
    weak, strong = (logits.requires_grad_() for logits in batch(0))
    build(name)(weak, strong)[0].backward()
    assert weak.grad is None
    assert strong.grad is not None
    assert strong.grad.isfinite().all()
    assert strong.grad.abs().sum() > 0


@every_method
def test_within_a_cluster_surer_predictions_teach_more(name: str) -> None:
    weak = (torch.linspace(0.1, 9, 8)[:, None, None] * torch.eye(5)).flatten(0, 1)
    method = build(name)
    for _ in range(20):
        _, _, trust = method(weak, weak)
    levels = trust.view(8, 5)
    assert bool((levels.diff(dim=0) >= 0).all())
    assert bool((levels[0] < 0.9).all())
    assert bool((levels[-1] == 1).all())


@every_method
def test_its_state_dict_holds_all_that_the_next_step_needs(name: str) -> None:
    method, copy = build(name), build(name)
    method(*batch(1))
    copy.load_state_dict(method.state_dict())
    for seed in (2, 3):
        mine, theirs = method(*batch(seed)), copy(*batch(seed))
        assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))


@every_method
def test_certainty_that_is_wrong_gives_no_infinite_loss(name: str) -> None:
    certain = torch.tensor([[200.0, 0.0, 0.0, 0.0, 0.0]]).repeat(8, 1)
    loss, _, _ = build(name)(certain, certain.roll(1, dims=1).requires_grad_())
    loss.backward()
    assert loss.isfinite()


@every_method
def test_its_settings_do_not_hide_behind_those_of_every_training(name: str) -> None:
    config = load(SEMI[name]).Config
    assert issubclass(config, Frozen)
    assert not config.model_fields.keys() & Semi.model_fields.keys()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@every_method
def test_on_a_gpu_it_never_waits(name: str) -> None:
    method = build(name).cuda()
    weak, strong = (logits.cuda().requires_grad_() for logits in batch(0))
    for mode in ("default", "error"):  # the first step may set things up
        torch.cuda.set_sync_debug_mode(mode)
        method(weak, strong)[0].backward()
    torch.cuda.set_sync_debug_mode("default")
    assert strong.grad is not None
    assert strong.grad.isfinite().all()
