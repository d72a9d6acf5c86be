import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from spice_cli.ops.candidates import _upper, candidates, screen


def unit(n: int, d: int, seed: int = 0) -> Tensor:
    return F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("offset", [0.0, 0.3, 30.0])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e15])
@pytest.mark.parametrize("spread", [0.0, 2.0])
@pytest.mark.parametrize("tile", [64, 4096])
def test_no_row_left_out_is_nearer_than_the_bound(
    dtype: torch.dtype,
    offset: float,
    scale: float,
    spread: float,
    tile: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("spice_cli.ops.candidates.TILE", tile)
    x = (unit(303, 24) + offset) * (spread * unit(303, 1, seed=1)).exp() * scale
    own = torch.arange(7, 207)
    ready = screen(x, dtype, 200)
    index, bound = candidates(ready, x[own], own, 5)
    exact = x[own].double() @ x.double().T
    exact.scatter_(1, index, -torch.inf).scatter_(1, own[:, None], -torch.inf)
    assert (exact.max(1).values <= bound[:, -1]).all()
    inside = x[own].double() @ x.double().T
    assert (inside.gather(1, index) <= bound).all()
    assert (bound.diff(dim=1) <= 0).all()
    assert not (index == own[:, None]).any()


def test_the_bound_is_tight_enough_to_be_of_use() -> None:
    x = unit(2000, 64)
    own = torch.arange(100)
    index, bound = candidates(screen(x, torch.bfloat16, 100), x[own], own, 40)
    exact = (x[own].double() @ x.double().T).sort(1, descending=True).values
    assert (bound[:, -1] < exact[:, 20]).all()


@given(st.floats(-(2.0**99), 2.0**99, width=32))
def test_what_rounds_to_a_score_is_at_most_its_upper_end(value: float) -> None:
    exact = torch.tensor([value])
    assert exact.double() <= _upper(exact.bfloat16())
