from copy import deepcopy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from spice_cli.methods.moco import MoCo, info_nce
from spice_cli.methods.plan import Plan
from spice_cli.models.resnet import small
from spice_cli.models.split_batch_norm import SplitBatchNorm2d

PLAN = Plan(images=10_000, clusters=None, batch=16, epochs=2, steps=625)


def build(seed: int = 0, plan: Plan = PLAN, **settings) -> MoCo:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        defaults = {"queue": 32, "dim": 8, "splits": 2, "ema": 0.9}
        return MoCo(small(8, width=4), MoCo.Config(**{**defaults, **settings}), plan)


def views(n: int = 8, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Generator]:
    generator = torch.Generator().manual_seed(seed)
    first = torch.rand(n, 3, 8, 8, generator=generator)
    second = first + 0.05 * torch.randn(first.shape, generator=generator)
    return torch.stack([first, second]), torch.arange(n), generator


def unit(*shape: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape))


def step(method: MoCo, optimizer, *batch) -> float:
    loss = method(*batch)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def in_one_part(module: nn.Module) -> nn.Module:
    """A copy whose batch norms take each batch as a whole."""
    copy = deepcopy(module)
    for each in copy.modules():
        if isinstance(each, SplitBatchNorm2d):
            each.splits = 1
    return copy


def loop(queries, keys, queue, temperature) -> torch.Tensor:
    """Equation 1 of the paper, one query at a time."""
    losses = []
    for q, own in zip(queries, keys, strict=True):
        positive = (torch.dot(q, own) / temperature).exp()
        negatives = sum((torch.dot(q, k) / temperature).exp() for k in queue)
        losses.append(-(positive / (positive + negatives)).log())
    return sum(losses) / len(losses)


@pytest.mark.parametrize("temperature", [0.1, 0.2])
def test_info_nce_equals_the_equation_in_value_and_gradient(temperature) -> None:
    queries, keys, queue = unit(5, 6).requires_grad_(), unit(5, 6), unit(9, 6)
    found, expected = (f(queries, keys, queue, temperature) for f in (info_nce, loop))
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(loss, queries)[0] for loss in (found, expected)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("symmetric", [False, True])
def test_forward_is_info_nce_of_each_direction_against_the_old_queue(symmetric) -> None:
    method = build(symmetric=symmetric, splits=1)
    before = in_one_part(method)
    (first, second), rows, generator = views()
    loss = method(torch.stack([first, second]), rows, generator)

    def encode(backbone, projector, images):
        return F.normalize(projector(backbone(images)))

    def query(images):
        return encode(before.backbone, before.projector, images)

    def key(images):
        return encode(before.key_backbone, before.key_projector, images)

    keys = [key(second), key(first)] if symmetric else [key(second)]
    expected = loop(query(first), keys[0], before.queue, 0.1)
    if symmetric:
        expected += loop(query(second), keys[1], before.queue, 0.1)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
    kept = torch.cat([*keys, before.queue[sum(map(len, keys)) :]])
    torch.testing.assert_close(method.queue, kept)


def test_no_split_of_a_symmetric_loss_sees_both_views_of_queries() -> None:
    method = build(symmetric=True, splits=2)
    (first, second), *_ = views()
    parts = [first[:4], first[4:], second[:4], second[4:]]
    alone = in_one_part(method.backbone)
    expected = torch.cat([alone(part) for part in parts])
    torch.testing.assert_close(method.backbone(torch.cat([first, second])), expected)


def test_keys_come_back_in_order_from_their_shuffled_split() -> None:
    method = build(splits=4)
    (images, _), _, generator = views()
    order = torch.randperm(8, generator=torch.Generator().set_state(generator.get_state()))
    twin = deepcopy(method)
    keys = method._keys(images, generator)
    for part in order.split(2):
        alone = in_one_part(twin.key_backbone)
        expected = F.normalize(twin.key_projector(alone(images[part])))
        torch.testing.assert_close(keys[part], expected)
    assert order.tolist() != sorted(order.tolist())


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 7), st.lists(st.integers(1, 12), min_size=1, max_size=6))
def test_the_queue_holds_the_newest_keys_oldest_at_the_pointer(size, batches) -> None:
    method = MoCo(small(8, width=1), MoCo.Config(queue=size, dim=2, splits=1), PLAN)
    history = list(method.queue.clone())
    for n in batches:
        keys = unit(n, 2)
        method._enqueue(keys)
        history.extend(keys)
    assert torch.equal(method.queue.roll(-int(method.pointer), 0), torch.stack(history[-size:]))


def test_key_encoder_follows_by_its_average_and_gets_no_gradient() -> None:
    method = build(ema=0.75)
    optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], 0.1)
    batch = views()
    step(method, optimizer, *batch)
    before = deepcopy(method.state_dict())
    step(method, optimizer, *batch)
    for name, key in method.named_parameters():
        if name.startswith("key_"):
            assert key.grad is None
            query = before[name.removeprefix("key_")]
            torch.testing.assert_close(key, 0.75 * before[name] + 0.25 * query)
        else:
            assert key.grad is not None


def test_keys_carry_no_gradient() -> None:
    pair, rows, generator = views()
    build()(pair.requires_grad_(), rows, generator).backward()
    assert pair.grad is not None
    assert pair.grad[0].abs().sum() > 0
    assert not pair.grad[1].any()


def test_eval_changes_nothing() -> None:
    method = build().eval()
    before = deepcopy(method.state_dict())
    batch = views()
    assert method(*batch) == method(*batch)
    assert all(torch.equal(v, before[k]) for k, v in method.state_dict().items())


def test_a_reloaded_method_goes_on_to_the_same_bits() -> None:
    def run(method, optimizer, steps):
        return [step(method, optimizer, *views(seed=s)) for s in steps]

    def sgd(method):
        return torch.optim.SGD([p for p in method.parameters() if p.requires_grad], 0.1)

    method = build(queue=20)
    run(method, sgd(method), range(4))
    copy = build(seed=1, queue=20)
    copy.load_state_dict(deepcopy(method.state_dict()))
    assert run(copy, sgd(copy), range(4, 8)) == run(method, sgd(method), range(4, 8))
    assert all(map(torch.equal, copy.state_dict().values(), method.state_dict().values()))


def test_a_few_steps_bring_the_loss_down_once_the_queue_holds_keys() -> None:
    method = build(queue=64, dim=32)
    optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], 0.03, 0.9)
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(50):
        images = F.interpolate(torch.randn(32, 3, 2, 2, generator=generator), size=8)
        pair = images + 0.3 * torch.randn(2, *images.shape, generator=generator)
        losses.append(step(method, optimizer, pair, torch.arange(32), generator))
    assert sum(losses[-5:]) < 0.7 * sum(losses[5:10])


def test_what_is_kept_loads_into_a_plain_backbone() -> None:
    method = build()
    method(*views())
    plain = small(8, width=4)
    plain.load_state_dict(method.backbone.state_dict())
    images = views()[0][0]
    assert torch.equal(plain.eval()(images), method.backbone.eval()(images))


def test_a_queue_not_smaller_than_the_data_set_is_a_fault() -> None:
    assert build(queue=100, plan=replace(PLAN, images=101)).faults() == []
    (fault,) = build(queue=100, plan=replace(PLAN, images=100)).faults()
    assert "queue of 100" in fault


def test_it_leaves_the_keys_of_all_images() -> None:
    method = build().eval()
    images = views()[0][0]
    with torch.no_grad():
        expected = F.normalize(method.key_projector(method.key_backbone(images)))
        left = method.leaves(lambda of: of(images))
    assert left.keys() == {"projections"}
    assert torch.equal(left["projections"], expected)
