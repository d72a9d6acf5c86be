import torch
import torch.nn.functional as F
from torch import Tensor

from spice_cli.config.self_label import SelfLabel
from spice_cli.heads.source import plain_source
from spice_cli.heads.spice import Spice
from spice_cli.heads.spice_config import SpiceConfig
from spice_cli.heads.spice_sizes import Sizes, shares_of
from spice_cli.ops.metrics import accuracy

SIZES = (200, 60, 20)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def uneven() -> tuple[Tensor, Tensor]:
    labels = torch.repeat_interleave(torch.arange(3), torch.tensor(SIZES))
    noise = 0.15 * torch.randn(len(labels), 8, generator=generator())
    return F.normalize(torch.eye(3, 8)[labels] + noise), labels


def train(balance: str, epochs: int = 8) -> Tensor:
    x, _ = uneven()
    own = SpiceConfig(balance=balance, batch=len(x), hidden=8)  # type: ignore[arg-type]
    config = SelfLabel(heads=4, clusters=3, epochs=epochs, batch_size=32)
    head = Spice(plain_source(x, 3), config, own, generator())
    for number in range(1, epochs + 1):
        head.epoch(number, torch.Generator().manual_seed(number), lambda images: None)
    return head.result().probs.argmax(1)


def test_without_balance_clusters_of_any_size_are_found() -> None:
    found = train("none")
    assert accuracy(found, uneven()[1]) > 0.98
    assert sorted(torch.bincount(found, minlength=3).tolist(), reverse=True)[0] > 190


def test_shares_are_those_of_the_most_probable_clusters() -> None:
    probs = torch.tensor([[[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3]]])
    assert shares_of(probs).tolist() == [[0.75, 0.25]]


def test_sizes_move_towards_what_is_predicted_and_no_cluster_is_left_without_labels() -> None:
    sizes = Sizes(1, 2, torch.device("cpu"))
    probs = torch.tensor([[0.9, 0.1]]).expand(1, 40, 2)
    for _ in range(100):
        sizes.follow(probs)
    assert sizes.shares[0, 0] > 0.99
    labels = sizes.labels(torch.randn(40, 3, generator=generator()), probs, ratio=0.5).label
    assert torch.bincount(labels[0]).tolist() == [35, 5]
