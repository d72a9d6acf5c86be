"""What every clustering head must keep, run over the catalogue."""

import json
from copy import deepcopy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spice_cli.catalog import HEADS, load
from spice_cli.config.frozen import Frozen
from spice_cli.config.self_label import SelfLabel
from spice_cli.heads.source import Facts, plain_source
from spice_cli.ops.metrics import accuracy
from spice_cli.run.checkpoint import pack_optimizer, unpack_optimizer

every_head = pytest.mark.parametrize("name", HEADS)
TRAIN = 300


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blobs(n: int = 360, k: int = 4, d: int = 16) -> tuple[Tensor, Tensor]:
    labels = torch.arange(n) % k
    noise = 0.2 * torch.randn(n, d, generator=generator())
    return F.normalize(3 * torch.eye(k, d)[labels] + noise), labels


def build(name: str, *, seed: int = 0, k: int = 4, **shared: Any) -> Any:
    kind = load(HEADS[name])
    x, _ = blobs(k=k)
    own = kind.Config()
    facts = Facts(images=TRAIN, clusters=k, features=x.shape[1], side=None)
    given: dict[str, Any] = {}
    if hasattr(kind, "wants"):
        wants = kind.wants(own, facts)
        own, given = wants.settings, dict(wants.shared)
    config = SelfLabel(method=name, clusters=k, **(given | shared))
    return kind(plain_source(x, k, train=TRAIN), config, own, generator(seed))


def train(head: Any, epochs: int | None = None, first: int = 1) -> list[dict[str, Any]]:
    last = min(epochs or head.epochs, head.epochs)
    numbers = range(first, last + 1)
    return [head.epoch(number, generator(number), lambda images: None) for number in numbers]


@every_head
def test_all_clusters_of_well_separated_blobs_are_found(name: str) -> None:
    head = build(name)
    last = train(head)[-1]
    _, truth = blobs()
    assert accuracy(head.result().probs.argmax(1), truth) == 1
    assert last["empty"] == 0
    assert last["largest_share"] == pytest.approx(1 / 4, abs=0.05)


@every_head
def test_probs_of_all_images_are_probabilities_and_what_it_leaves_fits_the_schema(
    name: str,
) -> None:
    head = build(name)
    train(head, 2)
    result = head.result()
    assert result.probs.shape == (360, 4)
    assert result.probs.dtype == torch.float32
    assert bool((result.probs >= 0).all())
    torch.testing.assert_close(result.probs.sum(1), torch.ones(360))
    assert result.losses.ndim == 1
    assert result.losses.dtype == torch.float32
    assert any(key.startswith("heads.") for key in result.state)
    assert all(key.startswith(("heads.", "model.")) for key in result.state)
    assert not any(tensor.requires_grad for tensor in (result.probs, result.losses))


@every_head
def test_what_it_leaves_gives_new_rows_the_same_probabilities(name: str) -> None:
    head = build(name)
    train(head, 3)
    result, x = head.result(), blobs()[0]
    state = {key.removeprefix("heads."): value for key, value in result.state.items()}
    own = load(HEADS[name]).Config()
    module = load(HEADS[name]).classifier(state, result.losses, own, torch.float32).eval()
    with torch.no_grad():
        found = module(x)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, result.probs, atol=1e-5, rtol=0)


@every_head
def test_the_same_seed_gives_the_same_bits_and_no_global_randomness_is_drawn(name: str) -> None:
    before = torch.random.get_rng_state()
    found = []
    for _ in range(2):
        head = build(name)
        records = train(head, 2)
        found.append((records, head.result()))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert found[0][0] == found[1][0]
    assert torch.equal(found[0][1].probs, found[1][1].probs)
    for key, value in found[0][1].state.items():
        assert torch.equal(value, found[1][1].state[key])


@every_head
def test_its_parts_hold_all_that_the_next_epoch_needs(name: str) -> None:
    whole, other = build(name), build(name, seed=1)
    train(whole, 1)
    for key, part in other.parts.items():
        saved = whole.parts[key]
        if isinstance(part, nn.Module):
            part.load_state_dict(deepcopy(saved.state_dict()))
        else:
            unpack_optimizer(part, pack_optimizer(saved))
    for head in (whole, other):
        train(head, 3, first=2)
    assert torch.equal(whole.result().probs, other.result().probs)
    assert torch.equal(whole.result().losses, other.result().losses)


@every_head
def test_an_epochs_record_is_json_with_a_loss_and_the_bar_is_told_of_every_image(name: str) -> None:
    head = build(name)
    told: list[int] = []
    record = head.epoch(1, generator(1), told.append)
    assert sum(told) == head.images > 0
    assert isinstance(record["loss"], float)
    assert {"selection_loss", "largest_share", "empty"} <= record.keys()
    assert json.loads(json.dumps(record)) == record


@every_head
def test_several_heads_tell_how_far_they_agree(name: str) -> None:
    head = build(name, heads=3)
    record = train(head, 1)[-1]
    if len(head.result().losses) == 3:
        assert 0 <= record["agreement"] <= 1


@every_head
def test_two_clusters_are_enough(name: str) -> None:
    head = build(name, k=2)
    train(head, 2)
    assert head.result().probs.shape == (360, 2)


@every_head
def test_its_settings_do_not_hide_behind_those_of_every_head(name: str) -> None:
    config = load(HEADS[name]).Config
    assert issubclass(config, Frozen)
    assert not config.model_fields.keys() & SelfLabel.model_fields.keys()


@every_head
def test_what_it_settles_from_the_facts_is_settled(name: str) -> None:
    kind = load(HEADS[name])
    if not hasattr(kind, "wants"):
        return
    facts = Facts(images=TRAIN, clusters=4, features=16, side=None)
    once = kind.wants(kind.Config(), facts)
    again = kind.wants(kind.Config.model_validate(once.settings.model_dump(mode="json")), facts)
    assert again == once
    SelfLabel.model_validate(dict(once.shared))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@every_head
def test_on_a_gpu_it_finds_the_blobs_too(name: str) -> None:
    kind = load(HEADS[name])
    x, truth = blobs()
    own = kind.Config()
    facts = Facts(images=len(x), clusters=4, features=16, side=None)
    wants = kind.wants(own, facts) if hasattr(kind, "wants") else None
    config = SelfLabel(**(wants.shared if wants else {}))
    source = plain_source(x.cuda(), 4)
    settings = wants.settings if wants else own
    head = kind(source, config, settings, torch.Generator("cuda").manual_seed(0))
    for number in range(1, head.epochs + 1):
        noise = torch.Generator("cuda").manual_seed(number)
        head.epoch(number, noise, lambda images: None)
    assert accuracy(head.result().probs.argmax(1).cpu(), truth) == 1
