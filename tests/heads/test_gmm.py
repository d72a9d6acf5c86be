import torch
import torch.nn.functional as F

from spice_cli.config.self_label import SelfLabel
from spice_cli.heads.gmm import GaussianMixture, MixtureConfig
from spice_cli.heads.source import plain_source


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_likeliest_restart_is_kept() -> None:
    x = F.normalize(torch.randn(200, 6, generator=generator()))
    own = MixtureConfig(restarts=6, iterations=5)
    head = GaussianMixture(plain_source(x, 4), SelfLabel(), own, generator())
    found = [head.epoch(n, generator(n), lambda images: None)["loss"] for n in range(1, 7)]
    assert len(set(found)) > 1
    result = head.result()
    torch.testing.assert_close(result.losses, torch.tensor(found))
    best = GaussianMixture(
        plain_source(x, 4), SelfLabel(), MixtureConfig(iterations=5), generator()
    )
    best.epoch(1, generator(1 + int(result.losses.argmin())), lambda images: None)
    assert torch.equal(best.result().probs, result.probs)
