import torch
import torch.nn.functional as F

from spice_cli.config.self_label import SelfLabel
from spice_cli.heads.graph import GraphConfig, GraphKMeans, smoothed
from spice_cli.heads.source import Facts, plain_source
from spice_cli.ops.metrics import accuracy


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_rows_move_to_the_mean_of_those_near_them_one_by_one() -> None:
    rows, near = (
        F.normalize(noise(6, 4)),
        torch.tensor([[(i + 1) % 6, (i + 2) % 6] for i in range(6)]),
    )
    once = torch.stack([
        F.normalize(rows[i] + (rows[(i + 1) % 6] + rows[(i + 2) % 6]) / 2, dim=0) for i in range(6)
    ])  # fmt: skip
    torch.testing.assert_close(smoothed(rows, near, 1), once)
    torch.testing.assert_close(smoothed(rows, near, 2), smoothed(once, near, 1))
    assert torch.equal(smoothed(rows, near, 0), rows)


def test_what_all_rows_share_and_vary_most_along_does_not_hide_the_clusters() -> None:
    truth = torch.arange(300) % 3
    rows = torch.eye(3, 24)[truth] + 0.15 * noise(300, 24)
    rows[:, 20] += 4
    rows[:, 21] += noise(300, seed=1)
    x = F.normalize(rows)
    own = GraphKMeans.wants(GraphConfig(), Facts(300, 3, 24, None)).settings
    head = GraphKMeans(plain_source(x, 3), SelfLabel(), own, torch.Generator())
    head.epoch(1, torch.Generator().manual_seed(0), lambda images: None)
    assert accuracy(head.result().probs.argmax(1), truth) > 0.95


def test_neighbours_are_fewer_than_the_images() -> None:
    wants = GraphKMeans.wants(GraphConfig(), Facts(images=6, clusters=2, features=4, side=None))
    assert wants.settings.neighbors == 5
