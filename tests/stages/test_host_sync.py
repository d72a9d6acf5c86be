"""On a GPU nothing inside a training step waits for the device."""

from collections.abc import Iterator

import pytest
import torch

from spice_cli.catalog import METHODS, load
from spice_cli.config.pretrain import Pretrain
from spice_cli.config.views import Strong, Views, Weak
from spice_cli.methods.plan import Plan
from spice_cli.models.resnet import small
from spice_cli.ops.augment import contrastive, strong, weak
from spice_cli.stages.optimizers import optimizers, schedule

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


@pytest.fixture
def generator() -> Iterator[torch.Generator]:
    yield torch.Generator("cuda").manual_seed(0)
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "muon"])
@pytest.mark.parametrize("name", METHODS)
def test_a_pretraining_step_never_waits(name, optimizer, generator) -> None:
    kind = load(METHODS[name])
    clusters = 4 if getattr(kind, "uses_clusters", False) else None
    plan = Plan(images=64, clusters=clusters, batch=32, epochs=3, steps=2)
    method = kind(small(16), kind.Config(), plan).cuda()
    trained_by = optimizers(method, Pretrain(optimizer=optimizer, lr=0.01))
    images = torch.randint(0, 256, (64, 3, 16, 16), dtype=torch.uint8, device="cuda")
    before = [p.detach().clone() for p in method.backbone.parameters()]
    for mode in ("default", "error"):  # the first step may set things up
        torch.cuda.set_sync_debug_mode(mode)
        rows = torch.randperm(64, generator=generator, device="cuda")[:32]
        pair = contrastive(images[rows].repeat(2, 1, 1, 1), generator, **Views().model_dump())
        with torch.autocast("cuda", torch.bfloat16):
            loss = method(pair.unflatten(0, (2, 32)), rows, generator)
        method.zero_grad(set_to_none=True)
        loss.backward()
        schedule(trained_by, 0.5)
        for each in trained_by:
            each.step()
    torch.cuda.set_sync_debug_mode("default")
    after = method.backbone.parameters()
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("policy", ["scan", "fixmatch"])
def test_weak_and_strong_views_never_wait(policy, generator) -> None:
    images = torch.randint(0, 256, (32, 3, 16, 16), dtype=torch.uint8, device="cuda")
    for mode in ("default", "error"):
        torch.cuda.set_sync_debug_mode(mode)
        views = [
            weak(images, generator, **Weak().model_dump()),
            strong(images, generator, **Strong(policy=policy).model_dump()),
        ]
    torch.cuda.set_sync_debug_mode("default")
    assert all(view.isfinite().all() for view in views)
