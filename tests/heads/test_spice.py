import pytest
import torch
import torch.nn.functional as F

from spice_cli.config.self_label import SelfLabel
from spice_cli.errors import UsageError
from spice_cli.heads.source import Facts, plain_source
from spice_cli.heads.spice import Spice
from spice_cli.heads.spice_config import SpiceConfig


def facts(images: int, clusters: int) -> Facts:
    return Facts(images=images, clusters=clusters, features=16, side=None)


@pytest.mark.parametrize(
    ("own", "images", "batch", "passes"),
    [
        (SpiceConfig(), 60_000, 5_000, 8),
        (SpiceConfig(variant="paper"), 60_000, 1_000, 1),
        (SpiceConfig(), 1_797, 1_797, 8),
        (SpiceConfig(batch=300, passes=2), 1_797, 300, 2),
    ],
)
def test_the_variants_settle_what_is_labelled_together_and_how_often(
    own: SpiceConfig, images: int, batch: int, passes: int
) -> None:
    settings = Spice.wants(own, facts(images, 10)).settings
    assert (settings.batch, settings.passes, settings.hidden) == (batch, passes, 16)


def test_more_clusters_than_images_labelled_together_are_refused() -> None:
    with pytest.raises(UsageError, match="12 clusters are too many for 10 images"):
        Spice.wants(SpiceConfig(batch=10), facts(100, 12))


def test_the_heads_of_the_best_epoch_are_kept() -> None:
    generator = torch.Generator().manual_seed(0)
    x = F.normalize(torch.randn(120, 16, generator=generator))
    head = Spice(plain_source(x, 3), SelfLabel(heads=2, lr=0.2), SpiceConfig(passes=1), generator)
    best, probs = float("inf"), torch.zeros(0)
    for number in range(1, 9):
        record = head.epoch(number, generator, lambda images: None)
        if record["selection_loss"] < best:
            best = record["selection_loss"]
            probs = head.rounds.heads.alone(record["head"], x).detach().softmax(1)
    result = head.result()
    assert result.losses.min().item() == best
    torch.testing.assert_close(result.probs, probs)
