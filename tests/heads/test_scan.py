from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from spice_cli.config.self_label import SelfLabel
from spice_cli.errors import CollapsedError
from spice_cli.heads.scan import Scan
from spice_cli.heads.scan_config import Confident, ScanConfig
from spice_cli.heads.scan_network import plain_logits
from spice_cli.heads.source import Facts, Pixels, Source, plain_source
from spice_cli.models.classifier import Classifier
from spice_cli.models.resnet import small
from spice_cli.ops.augment import plain
from spice_cli.ops.metrics import accuracy
from spice_cli.ops.scan import scan_loss
from spice_cli.run.checkpoint import pack_optimizer, unpack_optimizer


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ignore(images: int) -> None:
    pass


def backbone() -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return small(8, width=4).eval()


def source_of_images(n: int = 90, k: int = 3) -> tuple[Source, Tensor]:
    """Images of k colours, and the features of an untrained backbone."""
    labels = torch.arange(n) % k
    colour = torch.tensor([[230, 20, 20], [20, 230, 20], [20, 20, 230]])[labels]
    noise = torch.randint(0, 25, (n, 3, 8, 8), generator=generator())
    images = (colour[:, :, None, None] + noise).clamp(max=255).to(torch.uint8)
    with torch.no_grad():
        rows = F.normalize(backbone()(plain(images)))

    def shaken(batch: Tensor, noise: torch.Generator) -> Tensor:
        light = torch.randint(0, 20, (*batch.shape[:2], 1, 1), generator=noise)
        return plain((batch + light).clamp(max=255))

    pixels = Pixels(images, backbone, weak=shaken, strong=shaken, plain=plain)
    return plain_source(rows, k, pixels=pixels), labels


def built(source: Source, own: ScanConfig, **shared: Any) -> Scan:
    return Scan(source, SelfLabel(**shared), own, generator())


@pytest.mark.parametrize(
    ("images", "side", "expected"),
    [
        (60_000, 32, ("train", 20, "adam", 1e-4)),
        (13_000, 96, ("train", 20, "adam", 1e-4)),
        (100_000, 64, ("train", 20, "adam", 1e-4)),
        (64_000, 224, ("frozen", 50, "sgd", 0.0)),
        (60_000, None, ("frozen", 50, "sgd", 0.0)),
        (1_797, 8, ("frozen", 50, "sgd", 0.0)),
    ],
)
def test_the_backbone_is_trained_where_the_reference_trains_it(
    images: int, side: int | None, expected: tuple[Any, ...]
) -> None:
    own = ScanConfig().settled(images, 10, side)
    assert (own.backbone, own.neighbors, own.optimizer, own.weight_decay) == expected


def test_what_is_given_is_kept_and_small_sets_have_fewer_neighbours() -> None:
    given = ScanConfig(backbone="train", neighbors=7, optimizer="sgd", weight_decay=0.1)
    own = given.settled(100, 10, 32)
    assert (own.neighbors, own.optimizer, own.weight_decay) == (7, "sgd", 0.1)
    assert ScanConfig().settled(100, 10, None).neighbors == 5
    assert ScanConfig(neighbors=500).settled(100, 10, None).neighbors == 99
    assert ScanConfig().settled(100, 10, None).confident.batch_size == 25
    assert ScanConfig().settled(60_000, 10, 32).confident.batch_size == 1_000


def test_a_frozen_epoch_equals_sgd_on_pairs_of_neighbours_written_out() -> None:
    x = F.normalize(torch.randn(20, 6, generator=generator(3)))
    own = ScanConfig(backbone="frozen", neighbors=4, entropy=2.0)
    head = built(plain_source(x, 3), own, heads=2, batch_size=8, lr=0.7)
    weight = head.network.heads.weight.detach().clone().requires_grad_()
    bias = torch.zeros(2, 3, requires_grad=True)
    sgd = torch.optim.SGD([weight, bias], lr=0.7, momentum=0.9)
    near = plain_source(x, 3).neighbors(5)
    noise = generator(1)
    order = torch.randperm(20, generator=noise)
    losses = []
    for start in (0, 8):
        rows = order[start : start + 8]
        column = torch.randint(5, (8,), generator=noise)
        other = near[rows, column]
        logits = [torch.einsum("nd,dhk->hnk", x[i], weight) + bias[:, None] for i in (rows, other)]
        loss = scan_loss(logits[0], logits[1], 2.0)
        sgd.zero_grad()
        loss.sum().backward()
        sgd.step()
        losses.append(loss.mean().item())
    record = head.epoch(1, generator(1), ignore)
    assert record["loss"] == pytest.approx(sum(losses) / 2)
    torch.testing.assert_close(head.network.heads.weight.detach(), weight.detach())
    torch.testing.assert_close(head.network.heads.bias.detach(), bias.detach())


def test_a_trained_network_finds_colours_and_is_left_as_a_classifier() -> None:
    source, truth = source_of_images()
    head = built(source, ScanConfig(backbone="train"), heads=2, batch_size=30, lr=1e-2, epochs=12)
    for number in range(1, 13):
        head.epoch(number, generator(number), ignore)
    result = head.result()
    assert accuracy(result.probs.argmax(1), truth) == 1
    model = Classifier(backbone(), 3).eval()
    state = {k.removeprefix("model."): v for k, v in result.state.items() if k[:5] == "model"}
    model.load_state_dict(state)
    with torch.no_grad():
        torch.testing.assert_close(
            model(plain(source.pixels.images)).softmax(1), result.probs, atol=1e-5, rtol=1e-4
        )
    best = result.losses.argmin()
    torch.testing.assert_close(result.state["heads.weight"][best], state["fc.weight"])


def second(source: Source, kind: str, **confident: Any) -> Scan:
    step = Confident(epochs=2, batch_size=30, threshold=0.4, lr=1e-2, **confident)
    own = ScanConfig(backbone=kind, self_label=True, confident=step)
    return built(source, own, heads=2, batch_size=30, lr=1e-2, epochs=1)


@pytest.mark.parametrize("kind", ["train", "frozen"])
def test_self_labelling_starts_from_the_best_head(kind: str) -> None:
    source, _ = source_of_images()
    head = second(source, kind)
    head.epoch(1, generator(1), ignore)
    assert head.second is not None
    head.second.begin(head.best)
    with torch.no_grad():
        chosen = [int(head.best.losses.argmin())]
        (logits,) = plain_logits(head.source, head.best, 90, chosen)
        model = head.second.model.eval()
        features = model.backbone(plain(source.pixels.images))
        if kind == "frozen":
            features = source.embeddings * features.norm(dim=1).mean()
        found = model.fc(features)
    torch.testing.assert_close(found, logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["train", "frozen"])
def test_both_steps_go_on_to_the_same_bits(kind: str) -> None:
    source, _ = source_of_images()
    whole = second(source, kind, ema=0.5)
    results = []
    for stop in (1, 2):
        other = second(source, kind, ema=0.5)
        for number in range(1, stop + 1):
            other.epoch(number, generator(number), ignore)
        copy = second(source, kind, ema=0.5)
        for key, part in copy.parts.items():
            saved = other.parts[key]
            if isinstance(part, torch.nn.Module):
                part.load_state_dict(saved.state_dict())
            else:
                unpack_optimizer(part, pack_optimizer(saved))
        for number in range(stop + 1, 4):
            copy.epoch(number, generator(number), ignore)
        results.append(copy.result().probs)
    for number in range(1, 4):
        whole.epoch(number, generator(number), ignore)
    assert whole.epochs == 3
    for probs in results:
        assert torch.equal(probs, whole.result().probs)


def test_with_ema_the_weights_are_their_moving_average_after_every_step() -> None:
    source, _ = source_of_images()
    plainly, averaged = (second(source, "frozen", ema=e, optimizer="sgd") for e in (0.0, 0.9))
    starts, ends = [], []
    for head in (plainly, averaged):
        head.epoch(1, generator(1), ignore)
        step = head.second
        assert step is not None
        step.begin(head.best)
        step.size = step.n
        starts.append(step.model.fc.weight.detach().clone())
        step.epoch(generator(2), ignore)
        ends.append(step.model.fc.weight.detach().clone())
    assert torch.equal(*starts)
    torch.testing.assert_close(ends[1], 0.9 * starts[0] + 0.1 * ends[0])


def test_a_network_sure_of_nothing_has_collapsed() -> None:
    source, _ = source_of_images()
    own = ScanConfig(backbone="train", self_label=True, confident=Confident(threshold=1))
    head = built(source, own, heads=1, batch_size=30, lr=1e-4, epochs=1)
    head.epoch(1, generator(1), ignore)
    with pytest.raises(CollapsedError, match="not sure of one image"):
        head.epoch(2, generator(2), ignore)


def test_bf16_trains_float32_weights() -> None:
    source, _ = source_of_images()
    rough = Source(**{**vars(source), "dtype": torch.bfloat16})
    head = built(rough, ScanConfig(backbone="train"), heads=1, batch_size=30, lr=1e-3, epochs=1)
    record = head.epoch(1, generator(1), ignore)
    exact = built(source, ScanConfig(backbone="train"), heads=1, batch_size=30, lr=1e-3, epochs=1)
    assert record["loss"] == pytest.approx(exact.epoch(1, generator(1), ignore)["loss"], abs=0.3)
    assert all(p.dtype == torch.float32 for p in head.network.parameters())
    assert head.result().probs.dtype == torch.float32


@pytest.mark.parametrize("kind", ["train", "frozen"])
def test_there_are_several_heads_to_choose_from_whatever_is_trained(kind: str) -> None:
    facts = Facts(images=1000, clusters=4, features=8, side=8)
    assert Scan.wants(ScanConfig(backbone=kind), facts).shared["heads"] == 10  # type: ignore[arg-type]
