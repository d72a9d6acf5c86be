from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F

from spice_cli.errors import UsageError
from spice_cli.methods.pcl import PCL
from spice_cli.methods.plan import Plan
from spice_cli.methods.prototypes import concentrations, drawn, prototype_nce
from spice_cli.models.resnet import small


def build(seed: int = 0, images: int = 40, **settings) -> PCL:
    plan = Plan(images=images, clusters=None, batch=8, epochs=20, steps=5)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        defaults = {"dim": 8, "queue": 16, "splits": 1, "prototypes": (9, 15), "weight": 0.5}
        return PCL(small(8, width=4), PCL.Config(**{**defaults, **settings}), plan)


def batch(n: int = 8, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    first = torch.rand(n, 3, 8, 8, generator=generator)
    second = first + 0.05 * torch.randn(first.shape, generator=generator)
    return torch.stack([first, second]), torch.arange(n), generator


def begin(method: PCL, epoch: int) -> int:
    calls = 0
    pixels = torch.rand(method.plan.images, 3, 8, 8, generator=torch.Generator().manual_seed(5))

    @torch.no_grad()
    def embed(of) -> torch.Tensor:
        nonlocal calls
        calls += 1
        method.eval()
        rows = of(pixels)
        method.train()
        return rows

    method.begin(epoch, embed, torch.Generator().manual_seed(epoch))
    return calls


@pytest.mark.parametrize("symmetric", [False, True])
def test_loss_and_gradient_are_mocos_and_the_mean_over_granularities(symmetric) -> None:
    method = build(warm=0.0, symmetric=symmetric)
    begin(method, 1)
    twin = deepcopy(method)
    views, rows, generator = batch()
    again = torch.Generator().set_state(generator.get_state())
    loss = method(views, rows, generator)
    slow, queries = twin.moco.contrast(views, again)
    for g, span in enumerate((slice(0, 9), slice(9, 24))):
        labels, centers = twin.labels[g, rows], twin.centers[span]
        times = drawn(labels, len(centers), 16, again)
        own = torch.cat([labels, labels]) if symmetric else labels
        slow = slow + 0.5 / 2 * prototype_nce(queries, own, centers, twin.phi[span], times)
    torch.testing.assert_close(loss, slow)
    loss.backward()
    slow.backward()
    for name, parameter in twin.named_parameters():
        torch.testing.assert_close(method.get_parameter(name).grad, parameter.grad)


def test_clusters_are_of_the_keys_each_with_its_concentration() -> None:
    method = build(warm=0.0)
    begin(method, 1)
    pixels = torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(5))
    moco = method.moco.eval()
    keys = F.normalize(moco.key_projector(moco.key_backbone(pixels))).detach()
    for labels, centers, phi in zip(
        method.labels, method.centers.split((9, 15)), method.phi.split((9, 15)), strict=True
    ):
        torch.testing.assert_close(centers.norm(dim=1), torch.ones(len(centers)))
        assert torch.equal(labels, (keys @ centers.T).argmax(1))
        distances = torch.stack(
            [(k - centers[c]).norm() for k, c in zip(keys, labels, strict=True)]
        )
        expected = concentrations(distances, labels, 0.2, len(centers))
        torch.testing.assert_close(phi, expected, rtol=1e-3, atol=1e-4)


def test_prototypes_set_in_after_the_warm_up_and_move_every_so_often() -> None:
    method = build(warm=0.1, reassign=3)
    asked = {epoch: (begin(method, epoch), float(method.weight)) for epoch in range(1, 9)}
    assert [epoch for epoch, (calls, _) in asked.items() if calls] == [3, 4, 7]
    assert [weight for _, weight in asked.values()] == [0, 0, *[0.5] * 6]


def test_in_the_warm_up_it_is_moco() -> None:
    method = build()
    begin(method, 1)
    twin = deepcopy(method)
    assert torch.equal(method(*batch()), twin.moco(*batch()))


def test_all_prototypes_in_the_batch_do_no_harm() -> None:
    method = build(warm=0.0, prototypes=(2,))
    begin(method, 1)
    loss = method(*batch())
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in method.backbone.parameters())


def test_a_reloaded_method_goes_on_to_the_same_bits() -> None:
    def steps(method, numbers):
        optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], 0.05)
        losses = []
        for number in numbers:
            begin(method, number)
            loss = method(*batch(seed=number))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    method, copy = build(reassign=2), build(seed=1, reassign=2)
    steps(method, [1, 2, 3])
    copy.load_state_dict(deepcopy(method.state_dict()))
    assert steps(copy, [4, 5, 6]) == steps(method, [4, 5, 6])
    assert all(map(torch.equal, copy.state_dict().values(), method.state_dict().values()))


def test_queue_and_momentum_suit_small_data_and_short_trainings_unless_given() -> None:
    short = build(queue=None, ema=None).moco
    assert len(short.queue) == short.config.queue == 10
    assert 0 < short.config.ema < 0.99
    long = PCL(small(8, width=4), PCL.Config(), Plan(50_000, None, 512, epochs=200, steps=97)).moco
    assert (len(long.queue), long.config.ema) == (4096, 0.99)
    given = build(queue=50, ema=0.5).moco
    assert (len(given.queue), given.config.ema) == (50, 0.5)


def test_as_many_prototypes_as_images_are_refused() -> None:
    with pytest.raises(UsageError) as caught:
        build(images=20, prototypes=(5, 20)).faults()
    assert caught.value.hint == "--set prototypes=[5]"
    assert build(prototypes=(5, 19)).faults() == []
