import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from spice_cli.config.self_label import SelfLabel
from spice_cli.errors import MissingError, UsageError
from spice_cli.heads.kmeans import KMeansConfig, SphericalKMeans
from spice_cli.heads.source import Facts, plain_source
from spice_cli.ops.kmeans import kmeans


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def rows(n: int = 300, d: int = 8) -> Tensor:
    return F.normalize(torch.randn(n, d, generator=generator()) + 3 * torch.eye(n, d)[:, :d])


def done(own: KMeansConfig, x: Tensor, left: dict[str, Tensor] | None = None) -> SphericalKMeans:
    source = plain_source(x, 5, train=250, left=left or {})
    head = SphericalKMeans(source, SelfLabel(), own, generator())
    head.epoch(1, generator(), lambda images: None)
    return head


def test_probs_are_the_softmax_of_cosines_with_the_centres_of_the_training_rows() -> None:
    x = rows()
    result = done(KMeansConfig(temperature=0.2), x).result()
    expected = kmeans(x[:250], 5, generator=generator())
    assert torch.equal(result.state["heads.centers"][0], expected.centers)
    torch.testing.assert_close(result.probs, (x @ expected.centers.T / 0.2).softmax(1))
    assert torch.equal(result.probs[:250].argmax(1), expected.labels)
    torch.testing.assert_close(result.losses, torch.tensor([expected.inertia / 250]))


def test_projections_are_clustered_in_place_of_the_embeddings() -> None:
    x, other = rows(), 7 * rows(d=6)
    result = done(KMeansConfig(features="projections"), x, {"projections": other}).result()
    expected = kmeans(other[:250], 5, generator=generator())
    assert result.state["heads.centers"].shape == (1, 5, 6)
    assert torch.equal(result.probs[:250].argmax(1), expected.labels)


def test_a_methods_own_head_is_taken_as_it_is() -> None:
    x = rows()
    probs = torch.rand(300, 5, generator=generator()).softmax(1)
    result = done(KMeansConfig(features="head"), x, {"probs": probs}).result()
    assert torch.equal(result.probs, probs)
    torch.testing.assert_close(result.losses, 1 - probs[:250].max(1).values.mean()[None])
    label = probs[:250].argmax(1)
    means = torch.stack([x[:250][label == c].mean(0) for c in range(5)])
    torch.testing.assert_close(result.state["heads.centers"][0], F.normalize(means))


@pytest.mark.parametrize("features", ["projections", "head"])
def test_what_pretraining_did_not_leave_is_missing(features: str) -> None:
    facts = Facts(images=10, clusters=5, features=8, side=None)
    with pytest.raises(MissingError, match="`pretrain` left no"):
        SphericalKMeans.wants(KMeansConfig(features=features), facts)


def test_a_head_of_another_number_of_clusters_is_refused() -> None:
    facts = Facts(images=10, clusters=5, features=8, side=None, left={"probs": (10, 4)})
    with pytest.raises(UsageError, match="knows 4 clusters, not 5") as caught:
        SphericalKMeans.wants(KMeansConfig(features="head"), facts)
    assert caught.value.hint == "--clusters 4"
