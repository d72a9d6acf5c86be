import pytest
import torch
import torch.nn.functional as F

from spice_cli.catalog import BACKBONES, METHODS, load
from spice_cli.config.frozen import Frozen
from spice_cli.config.pretrain import Pretrain
from spice_cli.methods.plan import Plan, Rate

IMAGES, CLUSTERS = 40, 3
every_method = pytest.mark.parametrize("name", METHODS)


def plan_for(kind, images: int = IMAGES, batch: int = 16) -> Plan:
    clusters = CLUSTERS if getattr(kind, "uses_clusters", False) else None
    return Plan(images, clusters, batch, epochs=20, steps=images // batch)


def build(name: str, seed: int = 0, **plan: int):
    kind = load(METHODS[name])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return kind(load(BACKBONES["small"])(8, width=4), kind.Config(), plan_for(kind, **plan))


def random(*shape: int, seed: int = 0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def batch(seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(IMAGES, generator=generator)[:16]
    views = random(IMAGES, 3, 8, 8)[rows] + 0.3 * random(2, 16, 3, 8, 8, seed=seed)
    return views, rows, generator


def embedder(method, images: int = IMAGES):
    def embed(of):
        training = method.training
        method.eval()
        with torch.no_grad():
            rows = of(random(images, 3, 8, 8)).float()
        method.train(training)
        return rows

    return embed


def begin(method, epoch: int) -> None:
    if hasattr(method, "begin"):
        method.begin(epoch, embedder(method), torch.Generator().manual_seed(epoch))


def weights(method):
    return method.weights() if hasattr(method, "weights") else None


@every_method
@pytest.mark.parametrize("epoch", [1, 20])
def test_loss_is_a_finite_scalar_whose_gradient_reaches_the_backbone(name, epoch) -> None:
    method = build(name)
    for each in range(1, epoch + 1):
        begin(method, each)
    loss = method(*batch())
    assert loss.shape == ()
    assert loss.isfinite()
    loss.backward()
    gradients = [p.grad for p in method.backbone.parameters()]
    assert all(g is not None and g.isfinite().all() for g in gradients)
    assert any(g.abs().sum() > 0 for g in gradients)


@every_method
def test_loss_is_float32_under_autocast(name) -> None:
    method = build(name)
    begin(method, 1)
    with torch.autocast("cpu", torch.bfloat16):
        loss = method(*batch())
    assert loss.dtype == torch.float32
    assert loss.isfinite()


@every_method
def test_the_same_seed_gives_the_same_loss_and_no_global_randomness_is_drawn(name) -> None:
    before = torch.random.get_rng_state()
    losses = []
    for method in (build(name), build(name)):
        begin(method, 1)
        losses.append(method(*batch()))
    assert torch.equal(*losses)
    assert torch.equal(torch.random.get_rng_state(), before)


@every_method
def test_state_dict_holds_all_that_the_next_epoch_needs(name) -> None:
    method, copy = build(name), build(name, seed=1)
    for epoch in (1, 2):
        begin(method, epoch)
        method(*batch(epoch))
    copy.load_state_dict(method.state_dict())
    for epoch in (3, 4):
        for each in (method, copy):
            begin(each, epoch)
        drawn = weights(method), weights(copy)
        assert drawn == (None, None) or torch.equal(*drawn)
        assert torch.equal(copy(*batch(epoch)), method(*batch(epoch)))
    kept = copy.state_dict()
    assert all(torch.equal(value, kept[key]) for key, value in method.state_dict().items())


@every_method
def test_a_state_keeps_its_shapes(name) -> None:
    method = build(name)
    before = {key: value.shape for key, value in method.state_dict().items()}
    for epoch in (1, 20):
        begin(method, epoch)
        method(*batch(epoch))
    assert {key: value.shape for key, value in method.state_dict().items()} == before


@every_method
def test_in_evaluation_nothing_moves_on(name) -> None:
    method = build(name)
    begin(method, 1)
    method.eval()
    before = {key: value.clone() for key, value in method.state_dict().items()}
    assert torch.equal(method(*batch()), method(*batch()))
    assert all(torch.equal(value, before[key]) for key, value in method.state_dict().items())


@every_method
def test_the_backbone_it_keeps_has_a_plain_backbones_keys(name) -> None:
    plain = load(BACKBONES["small"])(8, width=4)
    plain.load_state_dict(build(name).backbone.state_dict())


@every_method
def test_it_leaves_unit_projections_and_probabilities_of_all_images_or_nothing(name) -> None:
    method = build(name)
    begin(method, 1)
    method(*batch())
    before = {key: value.clone() for key, value in method.state_dict().items()}
    left = method.leaves(embedder(method, images=50)) if hasattr(method, "leaves") else {}
    assert left.keys() <= {"projections", "probs"}
    for tensor in left.values():
        assert tensor.ndim == 2
        assert len(tensor) == 50
        assert tensor.dtype == torch.float32
        assert not tensor.requires_grad
    if "projections" in left:
        torch.testing.assert_close(left["projections"], F.normalize(left["projections"]))
    if "probs" in left:
        assert left["probs"].shape[1] == CLUSTERS
        assert (left["probs"] >= 0).all()
        torch.testing.assert_close(left["probs"].sum(1), torch.ones(50))
    assert all(torch.equal(value, before[key]) for key, value in method.state_dict().items())


@every_method
def test_its_rates_are_of_parameters_that_it_trains(name) -> None:
    method = build(name)
    trained = [key for key, value in method.named_parameters() if value.requires_grad]
    rates = method.rates() if hasattr(method, "rates") else {}
    for key, rate in rates.items():
        assert isinstance(rate, Rate)
        assert rate.factor > 0
        assert any(each.startswith(key) for each in trained)


@every_method
def test_images_are_drawn_in_proportion_to_positive_weights_or_all_alike(name) -> None:
    method = build(name)
    begin(method, 1)
    drawn = weights(method)
    if drawn is not None:
        assert drawn.shape == (IMAGES,)
        assert (drawn > 0).all()
        assert drawn.isfinite().all()


@every_method
def test_its_settings_do_not_hide_behind_those_of_every_pretraining(name) -> None:
    config = load(METHODS[name]).Config
    assert issubclass(config, Frozen)
    assert not config.model_fields.keys() & Pretrain.model_fields.keys()


@every_method
def test_default_settings_have_no_fault_on_a_large_data_set(name) -> None:
    assert build(name, images=50_000, batch=512).faults() == []
