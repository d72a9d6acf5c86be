from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F

from spice_cli.errors import UsageError
from spice_cli.methods.plan import Plan
from spice_cli.methods.propos import ProPos
from spice_cli.methods.scattering import prototype_scattering
from spice_cli.models.resnet import small
from spice_cli.models.split_batch_norm import SplitBatchNorm2d


def build(seed: int = 0, images: int = 40, clusters: int = 3, batch: int = 8, **settings) -> ProPos:
    plan = Plan(images=images, clusters=clusters, batch=batch, epochs=20, steps=5)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        defaults = {"dim": 8, "hidden": 16, "ema": 0.9}
        return ProPos(small(8, width=4), ProPos.Config(**{**defaults, **settings}), plan)


def batch(n: int = 8, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    first = torch.rand(n, 3, 8, 8, generator=generator)
    second = first + 0.05 * torch.randn(first.shape, generator=generator)
    return torch.stack([first, second]), torch.arange(n), generator


def groups(n: int = 40, clusters: int = 3) -> torch.Tensor:
    """Images that differ by their cluster's stripe alone."""
    pixels = torch.zeros(n, 3, 8, 8)
    for i in range(n):
        pixels[i, :, :, i % clusters] = 1.0
    return pixels


class Embed:
    """What the stage does, and how often it was asked to."""

    def __init__(self, method: ProPos, pixels: torch.Tensor) -> None:
        self.method, self.pixels, self.calls = method, pixels, 0

    @torch.no_grad()
    def __call__(self, of) -> torch.Tensor:
        self.calls += 1
        self.method.eval()
        rows = of(self.pixels)
        self.method.train()
        return rows


def begin(method: ProPos, epoch: int, pixels: torch.Tensor | None = None) -> Embed:
    embed = Embed(method, groups(len(method.labels)) if pixels is None else pixels)
    method.begin(epoch, embed, torch.Generator().manual_seed(epoch))
    return embed


def whole(method: ProPos) -> ProPos:
    """A copy whose batch norms take what they get as a whole."""
    copy = deepcopy(method)
    for each in copy.modules():
        if isinstance(each, SplitBatchNorm2d):
            each.splits = 1
    return copy


def expected(method: ProPos, views, rows, noise, scatter) -> torch.Tensor:
    """Both terms of both directions, an image at a time where there is a mean over images."""
    first, second = views
    noise, total = noise.chunk(2), 0.0
    for way, (view, other) in enumerate(((first, second), (second, first))):
        z = method.projector(method.backbone(view))
        with torch.no_grad():
            target = F.normalize(method.target.projector(method.target.backbone(other)))
        predicted = method.predictor(z + noise[way])
        cosines = [F.cosine_similarity(p, t, dim=0) for p, t in zip(predicted, target, strict=True)]
        total = total - 2 * sum(cosines) / len(cosines)
        labels = method.labels[rows]
        total = total + scatter * prototype_scattering(F.normalize(z), target, labels, 3, 0.5)
    return total / 2


@pytest.mark.parametrize("version", [1, 2])
def test_loss_and_gradient_are_alignment_with_noise_and_scattering_of_both_ways(version) -> None:
    method = build(version=version, warm=0.0, noise=0.3)
    begin(method, 1)
    twin = whole(method)
    views, rows, generator = batch()
    noise = torch.randn(16, 8, generator=torch.Generator().set_state(generator.get_state()))
    loss = method(views, rows, generator)
    slow = expected(twin, views, rows, 0.3 * noise, 0.1)
    torch.testing.assert_close(loss, slow + (2 if version == 2 else 0))
    loss.backward()
    slow.backward()
    for name, parameter in twin.named_parameters():
        grad = method.get_parameter(name).grad
        torch.testing.assert_close(grad, parameter.grad, rtol=1e-3, atol=1e-5)


def test_targets_are_told_to_move_after_the_loss_or_before_it() -> None:
    for version in (1, 2):
        method, (views, rows, generator) = build(version=version), batch()
        with torch.no_grad():
            method.projector[0].weight.add_(1.0)
        after = deepcopy(method)
        after.target.follow(after.backbone, after.projector)
        used = method if version == 1 else after
        slow = expected(whole(used), views, rows, torch.zeros(16, 8), 0.0)
        loss = method(views, rows, generator)
        torch.testing.assert_close(loss, slow + (2 if version == 2 else 0))
        moved = dict(after.target.named_parameters())
        for name, parameter in method.target.named_parameters():
            torch.testing.assert_close(parameter, moved[name])


def test_the_target_gets_no_gradient_and_stands_still_in_evaluation() -> None:
    method = build().eval()
    before = deepcopy(method.state_dict())
    loss = method(*batch())
    assert all(torch.equal(v, before[k]) for k, v in method.state_dict().items())
    loss.backward()
    assert all(p.grad is None for p in method.target.parameters())
    assert all(p.grad is not None for p in method.backbone.parameters())


def test_warm_up_turns_scattering_and_noise_off_until_its_last_epoch() -> None:
    method = build(warm=0.1)
    off_and_on = [
        (float(method.scatter), float(method.noise)) for e in (1, 2, 3) if begin(method, e)
    ]
    assert off_and_on == [(0, 0), (0, 0), (pytest.approx(0.1), pytest.approx(0.001))]


@pytest.mark.parametrize(
    ("resample", "reassign", "asked"),
    [(False, 1, [3, 4, 5, 6, 7, 8]), (False, 3, [3, 4, 7]), (True, 3, [1, 4, 7])],
)
def test_images_are_clustered_before_they_are_needed_and_every_so_often(
    resample, reassign, asked
) -> None:
    method = build(warm=0.1, resample=resample, reassign=reassign)
    assert [epoch for epoch in range(1, 9) if begin(method, epoch).calls] == asked


def test_pseudo_labels_are_the_clusters_of_the_targets_projections() -> None:
    method = build(warm=0.0)
    begin(method, 1)
    labels = method.labels.tolist()
    assert len(set(labels)) == 3
    assert labels == [labels[i % 3] for i in range(40)]


def test_resampling_draws_all_clusters_alike() -> None:
    method = build(images=6, resample=True)
    method.labels.copy_(torch.tensor([0, 2, 2, 0, 2, 2]))
    weights = method.weights()
    assert weights.isfinite().all()
    shares = [float(weights[method.labels == c].sum() / weights.sum()) for c in (0, 2)]
    assert shares == pytest.approx([0.5, 0.5])
    assert build().weights() is None


def test_with_splits_no_part_of_the_batch_sees_the_others() -> None:
    method, (views, _, generator) = build(splits=2), batch()
    alone = whole(method)
    order = torch.randperm(16, generator=torch.Generator().set_state(generator.get_state()))
    images = views.flip(0).flatten(0, 1)[order]
    parts = [F.normalize(alone.target.projector(alone.target.backbone(x))) for x in images.split(4)]
    found = method.target.both(views.flip(0), 2, generator)
    torch.testing.assert_close(found, torch.cat(parts)[order.argsort()].detach())
    assert order.tolist() != sorted(order.tolist())


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

    method, copy = build(reassign=2, ema_rises=True), build(seed=1, reassign=2, ema_rises=True)
    steps(method, [1, 2, 3])
    copy.load_state_dict(deepcopy(method.state_dict()))
    assert steps(copy, [4, 5, 6]) == steps(method, [4, 5, 6])
    assert all(map(torch.equal, copy.state_dict().values(), method.state_dict().values()))


def test_what_is_left_are_unit_projections_of_the_target() -> None:
    method = build()
    method(*batch())
    left = method.leaves(Embed(method, groups()))["projections"]
    target = method.target.eval()
    rows = F.normalize(target.projector(target.backbone(groups())))
    torch.testing.assert_close(left, rows.detach())


def test_the_predictor_learns_ten_times_as_fast() -> None:
    ((prefix, rate),) = build().rates().items()
    assert any(name.startswith(prefix) for name, _ in build().named_parameters())
    assert (rate.factor, rate.fixed) == (10, False)


def test_a_batch_of_fewer_images_than_clusters_is_a_fault() -> None:
    assert build(clusters=8).faults() == []
    (fault,) = build(clusters=9).faults()
    assert "9 clusters" in fault


def test_a_batch_that_does_not_split_is_refused() -> None:
    with pytest.raises(UsageError):
        build(splits=3).faults()
