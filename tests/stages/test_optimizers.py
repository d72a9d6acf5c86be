import pytest
import torch
from torch import nn

from spice_cli.config.pretrain import Pretrain
from spice_cli.methods.plan import Rate
from spice_cli.ops.lars import Lars
from spice_cli.run.checkpoint import pack_optimizer, unpack_optimizer
from spice_cli.stages.optimizers import optimizers, schedule


class Method(nn.Module):
    def __init__(self, rates: dict[str, Rate] | None = None) -> None:
        super().__init__()
        self.backbone = nn.Linear(3, 4)
        self.predictor = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
        self.target = nn.Linear(3, 4).requires_grad_(False)
        if rates is not None:
            self.rates = lambda: rates


def rates_of(method: nn.Module, found: list[torch.optim.Optimizer]) -> dict[str, float]:
    names = {parameter: name for name, parameter in method.named_parameters()}
    groups = [group for each in found for group in each.param_groups]
    return {names[p]: group["lr"] for group in groups for p in group["params"]}


@pytest.mark.parametrize("name", ["sgd", "adam", "muon", "lars"])
def test_without_rates_all_that_is_trained_follows_the_schedule(name) -> None:
    method = Method()
    found = optimizers(method, Pretrain(optimizer=name, lr=0.5, adam_lr=0.5))
    schedule(found, 0.1)
    rates = rates_of(method, found)
    assert rates == dict.fromkeys(rates, 0.05)
    assert rates.keys() == {k for k, p in method.named_parameters() if p.requires_grad}
    assert sum(len(each.param_groups) for each in found) == len(found)


@pytest.mark.parametrize("name", ["sgd", "adam", "muon", "lars"])
def test_the_longest_key_that_a_name_begins_with_sets_its_rate(name) -> None:
    method = Method({"predictor.": Rate(factor=10), "predictor.1": Rate(fixed=True)})
    found = optimizers(method, Pretrain(optimizer=name, lr=0.5, adam_lr=0.5))
    schedule(found, 0.1)
    rates = rates_of(method, found)
    assert {key: rates[f"{key}.weight"] for key in ("backbone", "predictor.0", "predictor.1")} == {
        "backbone": 0.05,
        "predictor.0": 0.5,
        "predictor.1": 0.5,
    }
    schedule(found, 0.01)
    rates = rates_of(method, found)
    assert (rates["predictor.0.weight"], rates["predictor.1.weight"]) == (0.05, 0.5)


def test_an_empty_key_is_for_all() -> None:
    method = Method({"": Rate(fixed=True)})
    found = optimizers(method, Pretrain(lr=0.5))
    schedule(found, 0.0)
    assert set(rates_of(method, found).values()) == {0.5}


@pytest.mark.parametrize("name", ["sgd", "adam", "muon", "lars"])
def test_a_rate_of_its_own_changes_only_its_parameters(name) -> None:
    def train(rates: dict[str, Rate] | None) -> Method:
        torch.manual_seed(0)
        method = Method(rates)
        found = optimizers(method, Pretrain(optimizer=name, lr=0.01, adam_lr=0.01))
        x = torch.randn(5, 3)
        for _ in range(2):
            schedule(found, 1.0)
            method.zero_grad()
            features = method.backbone(x)
            predicted = method.predictor(features.detach())
            (features.square().mean() + predicted.square().mean()).backward()
            for each in found:
                each.step()
        return method

    with torch.random.fork_rng():
        plain, ours = train(None), train({"predictor.": Rate(factor=3)})
    assert torch.equal(plain.backbone.weight, ours.backbone.weight)
    assert not torch.equal(plain.predictor[0].weight, ours.predictor[0].weight)


def test_adam_is_torchs_with_momentum_as_its_first_beta() -> None:
    config = Pretrain(optimizer="adam", lr=0.5, momentum=0.8, weight_decay=0.1)
    (found,) = optimizers(Method(), config)
    assert type(found) is torch.optim.Adam
    (group,) = found.param_groups
    assert (group["betas"], group["weight_decay"]) == ((0.8, 0.999), 0.1)


def test_lars_is_the_probes_with_momentum_and_decay_and_none_of_it_for_biases() -> None:
    method = Method()
    config = Pretrain(optimizer="lars", lr=4.8, momentum=0.8, weight_decay=1e-6)
    (found,) = optimizers(method, config)
    assert type(found) is Lars
    (group,) = found.param_groups
    assert (group["momentum"], group["weight_decay"], group["trust"]) == (0.8, 1e-6, 1e-3)
    schedule([found], 1.0)
    before = {name: p.detach().clone() for name, p in method.named_parameters()}
    method.predictor(method.backbone(torch.ones(2, 3))).sum().backward()
    found.step()
    weight, bias = method.backbone.weight, method.backbone.bias
    moved = torch.linalg.vector_norm(weight.detach() - before["backbone.weight"])
    long = torch.linalg.vector_norm(before["backbone.weight"])
    assert float(moved) == pytest.approx(4.8 * 1e-3 * float(long), rel=1e-3)
    torch.testing.assert_close(bias, before["backbone.bias"] - 4.8 * bias.grad)


def test_lars_is_stored_and_read_back_before_and_after_its_first_step() -> None:
    def stepped(method: Method, found: torch.optim.Optimizer) -> None:
        method.zero_grad()
        method.predictor(method.backbone(torch.ones(2, 3))).sum().backward()
        found.step()

    config = Pretrain(optimizer="lars", lr=0.5)
    for steps in (0, 1):
        torch.manual_seed(0)
        ours, theirs = Method(), Method()
        (one,), (other,) = optimizers(ours, config), optimizers(theirs, config)
        for _ in range(steps):
            stepped(ours, one)
        theirs.load_state_dict(ours.state_dict())
        unpack_optimizer(other, pack_optimizer(one))
        for method, found in ((ours, one), (theirs, other)):
            schedule([found], 1.0)
            stepped(method, found)
        assert all(map(torch.equal, ours.parameters(), theirs.parameters()))
