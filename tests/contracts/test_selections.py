"""What every way of selecting reliable samples must keep, run over the catalogue."""

from functools import partial

import pytest
import torch
from torch import Tensor

from spice_cli.catalog import SELECTIONS, load
from spice_cli.config.frozen import Frozen
from spice_cli.config.select_reliable import SelectReliable
from spice_cli.ops.judged import judged
from spice_cli.ops.neighbors import nearest, tell_nearest
from spice_cli.ops.reliable import Verdict, select
from spice_cli.run.manifest import Stage
from spice_cli.run.schema import check

every_method = pytest.mark.parametrize("name", SELECTIONS)
N, K = 400, 3


def build(name: str, **settings: object):
    kind = load(SELECTIONS[name])
    return kind(kind.Config(**settings))


def sample(noise: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Unit rows around three axes, and how near each axis is as a probability."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.eye(K)[torch.arange(N) % K] + noise * torch.randn(N, K, generator=generator)
    rows = torch.nn.functional.normalize(rows)
    return rows, (12 * rows).softmax(1)


def judge(name: str, rows: Tensor, probs: Tensor, **settings: object) -> Verdict:
    method = build(name, **settings)
    search = partial(tell_nearest, rows, method.neighbors)
    return judged(method, search, method.neighbors, probs)


@every_method
@pytest.mark.parametrize("noise", [0.1, 0.5])
def test_it_judges_every_sample(name: str, noise: float) -> None:
    found = judge(name, *sample(noise))
    assert found.kept.shape == found.consistency.shape == (N,)
    assert found.kept.dtype == torch.bool
    assert found.consistency.dtype == torch.float32
    assert bool(((found.consistency >= 0) & (found.consistency <= 1)).all())
    assert all(isinstance(value, float) for value in found.notes.values())


@every_method
def test_what_it_hears_block_by_block_is_what_it_hears_at_once(name: str) -> None:
    rows, probs = sample(0.4)
    method, label = build(name), probs.argmax(1)
    found = nearest(rows, method.neighbors)
    parts = [method.hear(block, label) for block in torch.split(found, 37)]
    assert torch.equal(torch.cat(parts), method.hear(found, label))
    progress: list[int] = []
    search = partial(tell_nearest, rows, method.neighbors, block=64)
    there = judged(method, search, method.neighbors, probs, progress.append)
    assert sum(progress) == N
    assert torch.equal(there.kept, judge(name, rows, probs).kept)


@every_method
def test_sure_and_separate_clusters_are_kept_whole(name: str) -> None:
    assert bool(judge(name, *sample(0.02)).kept.all())


@every_method
def test_samples_between_clusters_are_not_all_kept(name: str) -> None:
    share = judge(name, *sample(0.7)).kept.float().mean()
    assert 0 < share < 0.9


@every_method
def test_names_of_clusters_and_order_of_samples_mean_nothing(name: str) -> None:
    rows, probs = sample(0.3)
    before = judge(name, rows, probs)
    assert torch.equal(judge(name, rows, probs[:, [2, 0, 1]]).kept, before.kept)
    order = torch.randperm(N, generator=torch.Generator().manual_seed(1))
    after = judge(name, rows[order], probs[order])
    assert torch.equal(after.kept, before.kept[order])
    assert torch.equal(after.consistency, before.consistency[order])


@every_method
def test_the_same_samples_give_the_same_and_no_global_randomness_is_drawn(name: str) -> None:
    before = torch.random.get_rng_state()
    first, again = (judge(name, *sample(0.3)) for _ in range(2))
    assert torch.equal(first.kept, again.kept)
    assert torch.equal(torch.random.get_rng_state(), before)


@every_method
def test_what_is_selected_is_an_artifact(name: str) -> None:
    rows, probs = sample(0.1)
    found = select(
        judge(name, rows, probs),
        probs,
        balance=build(name).balance,
        min_per_cluster=1,
        generator=torch.Generator().manual_seed(0),
    )
    left = {"index": found.index, "label": found.label, "consistency": found.consistency}
    assert check(Stage.SELECT_RELIABLE, left, axes={"n": N, "k": K})["m"] == len(found.index)
    assert torch.equal(found.label, probs.argmax(1)[found.index])


@every_method
def test_looser_settings_are_settings_and_keep_no_less(name: str) -> None:
    rows, probs = sample(0.5)
    looser = judge(name, rows, probs, **build(name).looser())
    assert looser.kept.sum() >= judge(name, rows, probs).kept.sum()


@every_method
def test_its_settings_do_not_hide_behind_those_of_every_selection(name: str) -> None:
    config = load(SELECTIONS[name]).Config
    assert issubclass(config, Frozen)
    assert not config.model_fields.keys() & SelectReliable.model_fields.keys()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@every_method
def test_a_gpu_gives_the_same(name: str) -> None:
    rows, probs = sample(0.3)
    here, there = judge(name, rows, probs), judge(name, rows.cuda(), probs.cuda())
    assert torch.equal(here.kept, there.kept.cpu())
    torch.testing.assert_close(here.consistency, there.consistency.cpu())
