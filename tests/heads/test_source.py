import pytest
import torch
import torch.nn.functional as F

from spice_cli.heads import neighborhoods
from spice_cli.heads.source import plain_source
from spice_cli.ops.neighbors import nearest


def test_neighbours_are_exact_and_searched_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    x = F.normalize(torch.randn(50, 8, generator=torch.Generator().manual_seed(0)))
    asked: list[int] = []

    def counted(x: torch.Tensor, k: int, rows: torch.Tensor) -> torch.Tensor:
        asked.append(k)
        return nearest(x, k, rows=rows)

    monkeypatch.setattr(neighborhoods, "nearest", counted)
    made = plain_source(x, 3, train=40)
    assert torch.equal(made.neighbors(1)[:, 0], torch.arange(40))
    assert torch.equal(made.neighbors(7), nearest(x[:40], 7))
    assert torch.equal(made.neighbors(4), nearest(x[:40], 4))
    assert asked == [7]
    assert made.neighbors(99).shape == (40, 40)


def test_views_of_embeddings_alone_are_the_embeddings() -> None:
    x = F.normalize(torch.randn(6, 4))
    made = plain_source(x, 2)
    rows = torch.tensor([3, 1])
    weak, strong = made.views(rows, torch.Generator())
    assert torch.equal(weak, x[rows])
    assert torch.equal(strong, x[rows])
    assert torch.equal(made.strong(rows, torch.Generator()), x[rows])
