import pytest
import torch

from spice_cli.semi.settled import Settled


def after(guess: torch.Tensor, changes: int) -> torch.Tensor:
    return torch.cat([1 - guess[:changes], guess[changes:]])


def test_a_look_returns_the_share_that_changed_since_the_last() -> None:
    settled = Settled(10, share=0.25, patience=2)
    guess = torch.zeros(10, dtype=torch.long)
    assert settled.look(guess) == 1
    for changes in (0, 3, 10, 1):
        guess = after(guess, changes)
        assert settled.look(guess) == pytest.approx(changes / 10)


@pytest.mark.parametrize(
    ("changes", "over"),
    [
        ([], False),
        ([1], False),
        ([1, 0], True),
        ([1, 5, 1], False),
        ([1, 5, 1, 1], True),
        ([3, 3, 3], False),
    ],
)
def test_it_is_over_after_so_many_calm_looks_in_a_row(changes: list[int], over: bool) -> None:
    settled, guess = Settled(10, share=0.3, patience=2), torch.zeros(10, dtype=torch.long)
    settled.look(guess)
    for change in changes:
        guess = after(guess, change)
        settled.look(guess)
    assert settled.over is over


def test_a_share_of_nothing_is_never_reached() -> None:
    settled, guess = Settled(10, share=0.0, patience=1), torch.zeros(10, dtype=torch.long)
    for _ in range(5):
        settled.look(guess)
    assert not settled.over


def test_its_state_is_all_it_remembers() -> None:
    guess = torch.zeros(10, dtype=torch.long)
    first, second = (Settled(10, share=0.3, patience=2) for _ in range(2))
    first.look(guess)
    first.look(guess)
    second.load_state_dict(first.state_dict())
    assert second.look(after(guess, 1)) == pytest.approx(0.1)
    assert second.over
