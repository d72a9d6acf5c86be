import torch

from spice_cli.ops.kmeans_seed import greedy_seeds


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_every_far_group_gets_one_seed_in_every_restart() -> None:
    groups = torch.arange(8).repeat_interleave(40)
    points = 100 * torch.eye(8)[groups] + torch.randn(320, 8, generator=seeded())
    seeds = greedy_seeds(points, 8, 6, generator=seeded(1))
    assert seeds.shape == (6, 8, 8)
    for restart in seeds:
        assert sorted(restart.argmax(1).tolist()) == list(range(8))


def test_seeds_are_rows_of_their_own_and_restarts_differ() -> None:
    points = torch.randn(50, 3, generator=seeded())
    seeds = greedy_seeds(points, 10, 3, generator=seeded(1))
    same = (seeds[:, :, None] == points).all(3)
    assert same.any(2).all()
    rows = same.float().argmax(2)
    assert all(len(set(restart)) == 10 for restart in rows.tolist())
    assert len({tuple(restart) for restart in rows.tolist()}) == 3


def test_the_best_of_the_candidates_is_taken() -> None:
    points = torch.randn(200, 4, generator=seeded())
    greedy = greedy_seeds(points, 6, 20, generator=seeded(1))
    drawn = points[torch.randint(200, (20, 6), generator=seeded(1))]
    cost = [torch.cdist(points, s).square().amin(2).sum(1).mean() for s in (greedy, drawn)]
    assert cost[0] < 0.9 * cost[1]
