import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from spice_cli.config.self_label import SelfLabel
from spice_cli.heads.labelling import outer_loss, standardised, task_labels
from spice_cli.heads.source import Facts, plain_source
from spice_cli.heads.turtle import Turtle
from spice_cli.heads.turtle_config import TurtleConfig
from spice_cli.ops.metrics import accuracy


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blobs(labels: Tensor, d: int, noise: float = 0.1, seed: int = 0) -> Tensor:
    draw = generator(seed)
    centres = F.normalize(torch.randn(int(labels.max()) + 1, d, generator=draw))
    return F.normalize(centres[labels] + noise * torch.randn(len(labels), d, generator=draw))


def made(
    x: Tensor, k: int, own: TurtleConfig | None = None, spaces=(), train=None, **settings
) -> Turtle:
    facts = Facts(train or len(x), k, x.shape[1], None)
    wants = Turtle.wants(own or TurtleConfig(), facts)
    config = SelfLabel(**{**wants.shared, **settings})
    source = plain_source(x, k, train=train, spaces=spaces)
    return Turtle(source, config, wants.settings, generator())


def trained(method: Turtle, epochs: int) -> Turtle:
    for number in range(1, epochs + 1):
        method.epoch(number, generator(number), lambda rows: None)
    return method


@pytest.mark.parametrize("warm", [True, False])
def test_twenty_blobs_are_found_without_labels_and_no_cluster_is_lost(warm) -> None:
    truth = torch.arange(1000) % 20
    method = trained(made(blobs(truth, 32), 20, TurtleConfig(warm=warm)), 25)
    labels = method.result().probs.argmax(1)
    assert labels.unique().numel() == 20
    assert accuracy(labels, truth) > 0.97


def test_one_space_alone_may_mislead_and_two_agree_on_what_they_share() -> None:
    i = torch.arange(240)
    shared, first, second = i % 2, i // 2 % 2, i // 4 % 2

    def space(own: Tensor, seed: int) -> Tensor:
        rows = 0.1 * torch.randn(240, 6, generator=generator(seed))
        rows[:, 0] += 1.5 * own - 0.75
        rows[:, 1] += 1.0 * shared - 0.5
        return F.normalize(rows)

    one, two = space(first, 0), space(second, 1)
    alone = trained(made(one, 2), 10).result().probs.argmax(1)
    both = trained(made(one, 2, spaces=(two,)), 10).result().probs.argmax(1)
    assert accuracy(alone, first) > 0.97
    assert accuracy(both, shared) > 0.97


@pytest.mark.parametrize("warm", [True, False])
def test_two_updates_equal_autograd_and_plain_adam_restart_by_restart(warm) -> None:
    truth = torch.arange(30) % 3
    spaces = [blobs(truth, 5), blobs(truth, 4, seed=1)]
    own = TurtleConfig(inner=3, inner_lr=0.02, warm=warm)
    method = made(spaces[0], 3, own, spaces=(spaces[1],), heads=2, lr=0.01)
    rows = [standardised(x, 30) for x in spaces]
    starts = [[p.detach().clone() for p in each.parameters()] for each in method.task]
    found = [method.step(*method.train) for _ in range(2)]
    for restart in range(2):
        task = [[torch.nn.Parameter(p[..., restart, :].clone()) for p in pair] for pair in starts]
        outer = torch.optim.Adam([p for pair in task for p in pair], lr=0.01)
        fitted = None
        for update in range(2):
            if fitted is None or not warm:
                fitted = [[torch.nn.Parameter(torch.zeros_like(p)) for p in pair] for pair in task]
                inner = torch.optim.Adam([p for pair in fitted for p in pair], lr=0.02)

            def logits(maps, x):
                return [(r @ w + b)[None] for r, (w, b) in zip(x, maps, strict=True)]

            for _ in range(3):
                with torch.no_grad():
                    labels = task_labels(logits(task, rows))
                inner.zero_grad()
                outer_loss(labels, logits(fitted, rows), 0.0).sum().backward()
                inner.step()
            with torch.no_grad():
                predicted = logits(fitted, rows)
            outer.zero_grad()
            loss = outer_loss(task_labels(logits(task, rows)), predicted, 10.0)
            loss.sum().backward()
            outer.step()
            torch.testing.assert_close(found[update][restart], loss[0].detach())
        for pair, module in zip(task, method.task, strict=True):
            for mine, theirs in zip(pair, module.parameters(), strict=True):
                torch.testing.assert_close(theirs[..., restart, :], mine)


def test_the_gradient_at_fixed_classifiers_is_exact_where_they_are_optimal() -> None:
    x = torch.randn(40, 3, generator=generator(), dtype=torch.float64)
    seen, weight = x[:, :2], torch.randn(3, 2, generator=generator(1), dtype=torch.float64)

    def solved(task: Tensor) -> Tensor:
        labels, found = (x @ task).softmax(-1), torch.zeros(2, 2, dtype=x.dtype)
        for _ in range(500):
            found = found - seen.T @ ((seen @ found).softmax(-1) - labels) / len(x)
        return found

    def outer(task: Tensor, found: Tensor) -> Tensor:
        return outer_loss((x @ task).softmax(-1)[None], [(seen @ found)[None]], 10.0)[0]

    given = weight.clone().requires_grad_()
    outer(given, solved(weight)).backward()
    for place in ((0, 0), (2, 1)):
        step = torch.zeros_like(weight)
        step[place] = 1e-4
        up, down = (outer(weight + s, solved(weight + s)) for s in (step, -step))
        assert given.grad[place].item() == pytest.approx(float(up - down) / 2e-4, rel=1e-3)


def test_updates_are_60_an_epoch_and_fewer_below_10_000_images() -> None:
    def settled(images: int, own: TurtleConfig | None = None) -> int | None:
        return Turtle.wants(own or TurtleConfig(), Facts(images, 10, 8, None)).settings.updates

    assert settled(1_000_000) == settled(10_000) == 60
    assert settled(5_000) == 30
    assert settled(100) == 10
    assert settled(5_000, TurtleConfig(updates=7)) == 7


def test_the_restart_that_is_kept_has_the_lowest_loss_and_labels_every_image() -> None:
    truth = torch.arange(90) % 3
    method = made(blobs(truth, 8), 3, TurtleConfig(updates=2), train=60, heads=3)
    record = method.epoch(1, generator(), lambda rows: None)
    result = method.result()
    best = int(result.losses.argmin())
    assert record["head"] == best
    assert result.probs.shape == (90, 3)
    expected = method.task[0](method.spaces[0])[best].softmax(-1)
    torch.testing.assert_close(result.probs, expected.detach())


def test_only_training_rows_are_learnt_from() -> None:
    truth = torch.arange(90) % 3
    x = blobs(truth, 8)
    other = torch.cat((x[:60], x[60:].flip(0)))
    one, two = (trained(made(rows, 3, TurtleConfig(updates=2), train=60), 2) for rows in (x, other))
    assert torch.equal(one.scores.losses, two.scores.losses)


def test_the_same_seed_gives_the_same_bits_also_when_resumed_from_its_parts() -> None:
    x = blobs(torch.arange(100) % 5, 8)
    settings = {"own": TurtleConfig(updates=3), "batch_size": 40, "heads": 2}
    whole, half = trained(made(x, 5, **settings), 3), trained(made(x, 5, **settings), 2)
    resumed = made(x, 5, **settings)
    for name, part in half.parts.items():
        resumed.parts[name].load_state_dict(part.state_dict())
    resumed.epoch(3, generator(3), lambda rows: None)
    assert torch.equal(whole.scores.losses, resumed.scores.losses)
    assert torch.equal(whole.result().probs, resumed.result().probs)
