from collections.abc import Callable, Iterator
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from spice_cli.methods.moco import MoCo
from spice_cli.methods.plan import Plan
from spice_cli.methods.simclr import SimCLR
from spice_cli.models.resnet import small
from spice_cli.stages.compiled import LONG, compiled

PLAN = Plan(images=80, clusters=None, batch=8, epochs=1, steps=10)


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def build(name: str = "simclr") -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if name == "simclr":
            return SimCLR(small(8, width=4), SimCLR.Config(), PLAN)
        settings = MoCo.Config(queue=32, dim=8, splits=2, symmetric=True)
        return MoCo(small(8, width=4), settings, PLAN)


def loss_of(model: nn.Module, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    with torch.autocast("cpu", torch.bfloat16):
        views = torch.randn(2, 8, 3, 8, 8, generator=generator)
        return model(views, torch.arange(8), generator)


def train(model: nn.Module, seeds: range) -> list[float]:
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1)
    losses = []
    for seed in seeds:
        loss = loss_of(model, seed)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def go(model: nn.Module, choice: str = "on", steps: int = 10, **extra: object):
    warnings: list[str] = []
    done = compiled(
        model, choice, steps=steps, rehearse=lambda: loss_of(model), warn=warnings.append, **extra
    )
    return done, warnings


@pytest.mark.parametrize("name", ["simclr", "moco"])
def test_names_weights_and_training_stay_and_a_checkpoint_goes_on(name: str) -> None:
    plain, ours = build(name), build(name)
    before = deepcopy(plain.state_dict())
    assert go(ours, backend="aot_eager") == (True, [])
    assert ours.backbone._compiled_call_impl is not None
    assert list(ours.state_dict()) == list(before)
    assert all(torch.equal(value, before[key]) for key, value in ours.state_dict().items())
    assert all(p.grad is None for p in ours.parameters())
    assert train(ours, range(3)) == pytest.approx(train(plain, range(3)), rel=1e-2)
    copy = build(name)
    copy.load_state_dict(deepcopy(ours.state_dict()))
    go(copy, backend="aot_eager")
    assert train(copy, range(3, 5)) == train(ours, range(3, 5))


def test_a_copy_is_uncompiled() -> None:
    ours = build()
    go(ours, backend="aot_eager")
    assert deepcopy(ours).backbone._compiled_call_impl is None


@pytest.mark.slow
def test_inductor_trains_alike() -> None:
    plain, ours = build(), build()
    assert go(ours) == (True, [])
    assert train(ours, range(3)) == pytest.approx(train(plain, range(3)), rel=1e-2)


def broken(*_: object) -> Callable[..., object]:
    raise RuntimeError("no compiler here\nand much more")


def broken_backward(graph, inputs):
    from functorch.compile import make_boxed_func
    from torch._dynamo.backends.common import aot_autograd

    return aot_autograd(fw_compiler=lambda g, _: make_boxed_func(g), bw_compiler=broken)(
        graph, inputs
    )


@pytest.mark.parametrize("backend", [broken, broken_backward])
def test_where_compiling_fails_it_trains_on_as_before_after_one_warning(backend) -> None:
    plain, ours = build("moco"), build("moco")
    done, warnings = go(ours, backend=backend)
    assert not done
    assert len(warnings) == 1
    assert "no compiler here" in warnings[0]
    assert "much more" not in warnings[0]
    assert train(ours, range(2)) == train(plain, range(2))


@pytest.mark.parametrize(("choice", "steps"), [("off", LONG), ("auto", LONG), ("auto", 1)])
def test_off_and_on_a_cpu_nothing_is_compiled_nor_rehearsed(choice: str, steps: int) -> None:
    model = build()
    assert go(model, choice, steps, backend=broken) == (False, [])
    assert model.backbone._compiled_call_impl is None
