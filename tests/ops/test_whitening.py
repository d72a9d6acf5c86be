import torch

from spice_cli.ops.whitening import whitening


def rows(n: int = 400, d: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(d, d, generator=generator) @ torch.diag(torch.logspace(0, -2, d))
    return torch.randn(n, d, generator=generator) @ mixing + 3


def test_with_little_shrinkage_the_covariance_is_a_multiple_of_the_identity() -> None:
    white = whitening(rows().double(), 1e-12)(rows().double())
    covariance = torch.cov(white.T, correction=0)
    torch.testing.assert_close(covariance, torch.eye(6).double() / 6, rtol=1e-6, atol=1e-6)


def test_the_mean_is_zero_and_the_mean_square_length_one() -> None:
    for shrinkage in (1e-3, 0.1, 1.0):
        white = whitening(rows(), shrinkage)(rows())
        torch.testing.assert_close(white.mean(0), torch.zeros(6), rtol=0, atol=1e-5)
        torch.testing.assert_close(white.square().sum(1).mean(), torch.tensor(1.0))


def test_with_much_shrinkage_only_mean_and_scale_change() -> None:
    x = rows().double()
    centred = x - x.mean(0)
    expected = centred / centred.square().sum(1).mean().sqrt()
    torch.testing.assert_close(whitening(x, 1e9)(x), expected, rtol=1e-6, atol=1e-6)


def test_rows_that_are_all_equal_stay_finite() -> None:
    same = torch.ones(10, 4)
    assert bool(whitening(same, 0.01)(same).isfinite().all())
