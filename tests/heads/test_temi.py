import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from spice_cli.config.self_label import SelfLabel
from spice_cli.heads.information import temi_loss
from spice_cli.heads.source import Facts, plain_source
from spice_cli.heads.temi import Temi
from spice_cli.heads.temi_config import TemiConfig
from spice_cli.ops.metrics import accuracy


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blobs(n: int, k: int, d: int, noise: float = 0.1) -> tuple[Tensor, Tensor]:
    labels = torch.arange(n) % k
    centres = F.normalize(torch.randn(k, d, generator=generator()))
    rows = centres[labels] + noise * torch.randn(n, d, generator=generator(1))
    return F.normalize(rows), labels


def made(x: Tensor, k: int, own: TemiConfig | None = None, **settings) -> Temi:
    facts = Facts(len(x), k, x.shape[1], None)
    wants = Temi.wants(own or TemiConfig(), facts)
    config = SelfLabel(**{**wants.shared, **settings})
    return Temi(plain_source(x, k), config, wants.settings, generator())


@pytest.mark.parametrize("hidden", [None, 32])
def test_twenty_blobs_are_found_without_labels_and_no_cluster_is_lost(hidden) -> None:
    x, truth = blobs(1000, 20, 32)
    method = made(x, 20, TemiConfig(hidden=hidden), heads=10)
    for number in range(1, 16):
        record = method.epoch(number, generator(number), lambda rows: None)
    assert record["empty"] == 0
    assert accuracy(method.result().probs.argmax(1), truth) > 0.97


def test_one_step_equals_separate_heads_with_one_adam_and_an_average() -> None:
    x, _ = blobs(12, 3, 5)
    method = made(
        x, 3, TemiConfig(teacher_temperature=0.2, ema=0.9), heads=2, batch_size=6, lr=0.01
    )
    start = [p.detach().clone() for p in method.heads.student.parameters()]
    slow = [torch.nn.Parameter(p.clone()) for p in start]
    adam = torch.optim.AdamW(slow, lr=0.01, weight_decay=1e-4)
    rows, others = x[:6], x[6:]
    found = method.step(rows, others)

    def logs(weights: list[Tensor], temperature: float) -> Tensor:
        unit = weights[0] / weights[0].norm(dim=0)
        one = [torch.stack([part @ unit[:, h] for h in range(2)]) for part in (rows, others)]
        return (torch.stack(one) / temperature).log_softmax(-1)

    teacher = logs(start, 0.2)
    share = 0.9 / 3 + 0.1 * teacher.exp().mean((0, 2))
    losses = temi_loss(logs(slow, 0.1), teacher, share.log(), 0.6)
    losses.mean().backward()
    adam.step()
    torch.testing.assert_close(found, losses.detach())
    torch.testing.assert_close(method.heads.shares, share)
    torch.testing.assert_close(method.heads.student.weight, slow[0])
    average = 0.9 * start[0] + 0.1 * slow[0].detach()
    torch.testing.assert_close(method.heads.teacher.weight.data, average)


def test_partners_are_neighbours_and_never_the_image_itself() -> None:
    x, truth = blobs(60, 3, 8)
    method = made(x, 3)
    assert method.near.shape == (60, 10)
    assert (method.near != torch.arange(60)[:, None]).all()
    assert (truth[method.near] == truth[:, None]).all()


def test_neighbours_are_50_or_half_of_an_even_cluster_and_never_more_than_there_are() -> None:
    def settled(images: int, clusters: int, own: TemiConfig | None = None) -> int | None:
        return Temi.wants(own or TemiConfig(), Facts(images, clusters, 8, None)).settings.neighbors

    assert settled(60_000, 10) == 50
    assert settled(200, 10) == 10
    assert settled(3, 3) == 1
    assert settled(20, 2, TemiConfig(neighbors=100)) == 19


def test_the_head_that_is_kept_has_the_lowest_loss_and_its_teacher_speaks() -> None:
    x, _ = blobs(40, 4, 8)
    method = made(x, 4, heads=3, batch_size=20)
    record = method.epoch(1, generator(), lambda rows: None)
    result = method.result()
    best = int(result.losses.argmin())
    assert record["head"] == best
    expected = (method.heads.teacher(x)[best] / 0.1).softmax(-1)
    torch.testing.assert_close(result.probs, expected.detach())


def test_the_same_seed_gives_the_same_bits_also_when_resumed_from_its_parts() -> None:
    x, _ = blobs(100, 5, 8)
    whole, half = made(x, 5, heads=4), made(x, 5, heads=4)
    for number in (1, 2):
        half.epoch(number, generator(number), lambda rows: None)
    resumed = made(x, 5, heads=4)
    for name, part in half.parts.items():
        resumed.parts[name].load_state_dict(part.state_dict())
    for number in (1, 2, 3):
        whole.epoch(number, generator(number), lambda rows: None)
    resumed.epoch(3, generator(3), lambda rows: None)
    for one, two in ((whole, resumed), (whole.result(), resumed.result())):
        assert torch.equal(
            *((each.probs if one is not whole else each.heads.losses) for each in (one, two))
        )


def test_every_step_gets_tensors_of_the_same_shapes() -> None:
    x, _ = blobs(50, 5, 8)
    seen = set()

    def wrap(step):
        def wrapped(*tensors: Tensor) -> Tensor:
            seen.add(tuple(tensor.shape for tensor in tensors))
            return step(*tensors)

        return wrapped

    config = SelfLabel(heads=2, batch_size=16)
    method = Temi(plain_source(x, 5, wrap=wrap), config, TemiConfig(), generator())
    rows = []
    method.epoch(1, generator(), rows.append)
    assert seen == {((16, 8), (16, 8))}
    assert sum(rows) == method.images == 20 * 16


def test_small_sets_are_paired_often_enough_and_teachers_remember_one_epoch() -> None:
    small, _ = blobs(100, 5, 8)
    large, _ = blobs(3000, 5, 8)
    few, many = made(small, 5, batch_size=50), made(large, 5, batch_size=50)
    assert (few.updates, few.ema) == (20, 0.95)
    assert (many.updates, many.ema) == (60, 1 - 1 / 60)
    assert made(large, 5, TemiConfig(ema=0.5), batch_size=3).ema == 0.5
    assert made(large, 5, batch_size=3).ema == 0.996
