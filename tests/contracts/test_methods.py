import pytest
import torch

from spice_cli.catalog import BACKBONES, METHODS, load
from spice_cli.config import Frozen, Pretrain

every_method = pytest.mark.parametrize("name", METHODS)


def build(name: str, seed: int = 0):
    method = load(METHODS[name])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return method(load(BACKBONES["small"])(8, width=4), method.Config())


def batch(seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 16, 3, 8, 8, generator=generator), generator


@every_method
def test_loss_is_a_finite_scalar_whose_gradient_reaches_the_backbone(name) -> None:
    method = build(name)
    loss = method(*batch())
    assert loss.shape == ()
    assert loss.isfinite()
    loss.backward()
    gradients = [p.grad for p in method.backbone.parameters()]
    assert all(g is not None and g.isfinite().all() for g in gradients)
    assert any(g.abs().sum() > 0 for g in gradients)


@every_method
def test_loss_is_float32_under_autocast(name) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        loss = build(name)(*batch())
    assert loss.dtype == torch.float32
    assert loss.isfinite()


@every_method
def test_the_same_seed_gives_the_same_loss_and_no_global_randomness_is_drawn(name) -> None:
    before = torch.random.get_rng_state()
    losses = [build(name)(*batch()) for _ in range(2)]
    assert torch.equal(*losses)
    assert torch.equal(torch.random.get_rng_state(), before)


@every_method
def test_state_dict_holds_all_that_the_next_step_needs(name) -> None:
    method, copy = build(name), build(name, seed=1)
    method(*batch(1))
    copy.load_state_dict(method.state_dict())
    for seed in (2, 3):
        assert torch.equal(copy(*batch(seed)), method(*batch(seed)))


@every_method
def test_the_backbone_it_keeps_has_a_plain_backbones_keys(name) -> None:
    plain = load(BACKBONES["small"])(8, width=4)
    plain.load_state_dict(build(name).backbone.state_dict())


@every_method
def test_its_settings_do_not_hide_behind_those_of_every_pretraining(name) -> None:
    config = load(METHODS[name]).Config
    assert issubclass(config, Frozen)
    assert not config.model_fields.keys() & Pretrain.model_fields.keys()


@every_method
def test_default_settings_have_no_fault_on_a_large_data_set(name) -> None:
    assert build(name).faults(images=50_000, batch_size=512) == []
