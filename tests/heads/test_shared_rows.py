"""Heads whose passes over all rows several processes share, threads here, are those of one."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from spice_cli.config.self_label import SelfLabel
from spice_cli.heads.gmm import GaussianMixture, MixtureConfig
from spice_cli.heads.graph import GraphConfig, GraphKMeans
from spice_cli.heads.kmeans import KMeansConfig, SphericalKMeans
from spice_cli.heads.neighborhoods import neighborhoods
from spice_cli.heads.source import Facts, Result, plain_source
from spice_cli.ops.stretch import WHOLE, Stretch

METHODS: dict[str, tuple[Any, Any]] = {
    "kmeans": (SphericalKMeans, KMeansConfig()),
    "gmm": (GaussianMixture, MixtureConfig(restarts=2)),
    "graph": (GraphKMeans, GraphConfig()),
}
Stretches = Callable[..., list[Any]]


def blobs(n: int = 240) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    centers = 2 * torch.randn(4, 16, generator=generator)
    rows = centers[torch.arange(n) % 4] + torch.randn(n, 16, generator=generator)
    return F.normalize(rows)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("world", [2, 3])
def test_what_processes_make_of_their_rows_is_what_one_makes_of_all(
    stretches: Stretches, name: str, world: int
) -> None:
    kind, own = METHODS[name]

    def work(stretch: Stretch) -> tuple[list[Any], Result]:
        source = plain_source(blobs(), 4, train=201, stretch=stretch)
        method = kind(source, SelfLabel(heads=1), own, torch.Generator().manual_seed(1))
        log = [
            method.epoch(number, torch.Generator().manual_seed(number), lambda images: None)
            for number in range(1, method.epochs + 1)
        ]
        return log, method.result()

    log, result = work(WHOLE)
    for own_log, found in stretches(world, work):
        for line, expected in zip(own_log, log, strict=True):
            assert line == pytest.approx(expected, abs=1e-5)
        torch.testing.assert_close(found.losses, result.losses, atol=1e-5, rtol=0)
        torch.testing.assert_close(dict(found.state), dict(result.state), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(found.probs, result.probs, atol=1e-4, rtol=0)
        assert torch.equal(found.probs.argmax(1), result.probs.argmax(1))


@pytest.mark.parametrize("name", METHODS)
def test_processes_whose_features_differ_in_the_last_bit_go_on_with_the_same_bits(
    stretches: Stretches, name: str
) -> None:
    kind, own = METHODS[name]

    def work(stretch: Stretch) -> tuple[list[tuple[int, ...]], Result]:
        exchanged: list[tuple[int, ...]] = []

        def gather(rows: Tensor) -> Tensor:
            exchanged.append(tuple(rows.shape))
            return stretch.gather(rows)

        def add(tensors: list[Tensor]) -> None:
            exchanged.append((len(tensors),))
            stretch.add(tensors)

        def first(tensors: list[Tensor]) -> None:
            exchanged.append((-len(tensors),))
            stretch.first(tensors)

        rows = blobs()
        noise = torch.Generator().manual_seed(stretch.rank)
        up = torch.rand(rows.shape, generator=noise) < 0.5 if stretch.rank else rows.isnan()
        rows = torch.where(up, rows.nextafter(torch.full_like(rows, 2)), rows)
        counted = Stretch(stretch.rank, stretch.world, gather, add, first)
        source = plain_source(rows, 4, stretch=counted)
        method = kind(source, SelfLabel(heads=1), own, torch.Generator().manual_seed(1))
        for number in range(1, method.epochs + 1):
            method.epoch(number, torch.Generator().manual_seed(number), lambda images: None)
        return exchanged, method.result()

    first, *others = stretches(3, work)
    for exchanged, found in others:
        assert exchanged == first[0]
        assert torch.equal(found.losses, first[1].losses)
        assert torch.equal(found.probs, first[1].probs)
        for key, value in found.state.items():
            assert torch.equal(value, first[1].state[key]), key


@pytest.mark.parametrize(("n", "world"), [(240, 2), (241, 3), (5, 4)])
def test_neighbours_of_processes_are_those_of_one(stretches: Stretches, n: int, world: int) -> None:
    expected = neighborhoods(blobs(n))

    def work(stretch: Stretch) -> list[Tensor]:
        neighbors = neighborhoods(blobs(n), stretch)
        return [neighbors(k) for k in (4, 2)]

    for four, two in stretches(world, work):
        assert torch.equal(four, expected(4))
        assert torch.equal(two, expected(2))


def test_rows_are_shared_by_methods_that_cluster_features_themselves() -> None:
    facts = Facts(images=6000, clusters=4, features=16, side=32, left={"probs": (6000, 4)})
    assert all(kind.wants(own, facts).passes for kind, own in METHODS.values())
    assert not SphericalKMeans.wants(KMeansConfig(features="head"), facts).passes
