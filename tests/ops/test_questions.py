import torch
import torch.nn.functional as F

from spice_cli.ops.constraints import Field, completed, told
from spice_cli.ops.questions import doubt, options, several, worth
from spice_cli.ops.spreading import graph

NOTHING = torch.zeros(0, dtype=torch.int64)


def two_doubtful_modes() -> tuple[Field, torch.Tensor]:
    """Four groups of which 2 (large) and 3 (small) are guessed to be in 0 and 1, unsurely."""
    g = torch.Generator().manual_seed(0)
    group = torch.tensor([0] * 30 + [1] * 30 + [2] * 25 + [3] * 8)
    centers = torch.eye(8)[:4]
    rows = F.normalize(centers[group] + 0.05 * torch.randn(93, 8, generator=g), dim=1)
    first = F.one_hot(torch.tensor([0, 1, 0, 1])[group], 4).float()
    first[group > 1] = torch.tensor([0.5, 0.5, 0.0, 0.0])
    margin = torch.where(group > 1, 0.0, 9.0)
    return completed(graph(rows), first, margin, told({}, first)), group


def test_doubt_is_one_minus_the_margin() -> None:
    probs = torch.tensor([[0.5, 0.5, 0.0], [0.9, 0.1, 0.0]])
    torch.testing.assert_close(doubt(probs), torch.tensor([1.0, 0.2]))


def test_the_first_question_is_about_what_is_hard_and_stands_for_most() -> None:
    field, group = two_doubtful_modes()
    assert int(group[worth(field, NOTHING).argmax()]) == 2


def test_rows_whose_cluster_is_not_their_neighbours_are_asked_about_first() -> None:
    g = torch.Generator().manual_seed(0)
    group = torch.arange(3).repeat_interleave(40)
    rows = F.normalize(torch.eye(8)[group] + 0.05 * torch.randn(120, 8, generator=g), dim=1)
    cluster = group.clone()
    cluster[[5, 50]] = 2
    first = F.one_hot(cluster, 3).float() * 0.97 + 0.01
    field = completed(graph(rows), first, torch.ones(120), told({}, first))
    assert set(several(field, NOTHING, 2)) == {5, 50}
    assert {int(group[5]), 2} <= set(options(field.probs[5]))


def test_what_is_closed_is_worth_nothing_and_is_not_asked() -> None:
    field, _ = two_doubtful_modes()
    best = worth(field, NOTHING).argmax()[None]
    assert float(worth(field, best)[best]) == -1
    assert int(best) not in several(field, best, 20)


def test_several_questions_are_diverse_and_each_is_asked_once() -> None:
    field, group = two_doubtful_modes()
    asked = several(field, NOTHING, 6)
    assert len(set(asked)) == 6
    assert {2, 3} <= set(group[asked[:3]].tolist())


def test_no_more_is_asked_than_there_is() -> None:
    field, _ = two_doubtful_modes()
    assert sorted(several(field, NOTHING, 1000)) == list(range(93))


def test_asking_leaves_the_field_as_it_was() -> None:
    field, _ = two_doubtful_modes()
    before = [part.clone() for part in field[1:]]
    several(field, NOTHING, 5)
    assert all(torch.equal(a, b) for a, b in zip(before, field[1:], strict=True))


def test_options_are_the_likeliest_and_at_least_two() -> None:
    assert options(torch.tensor([0.99, 0.01, 0.0])) == [0, 1]
    assert options(torch.tensor([0.1, 0.4, 0.2, 0.25, 0.05])) == [1, 3, 2, 0]
    assert options(torch.tensor([1.0])) == [0]
