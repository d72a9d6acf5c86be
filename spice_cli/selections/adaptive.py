"""Local consistency in neighbourhoods as large as they hold, without a tuned threshold.

The idea is DCBoost's (https://arxiv.org/abs/2511.21193), the rule ours: see `ops/adaptive.py`.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, JsonValue
from torch import Tensor

from spice_cli.config.frozen import Frozen
from spice_cli.ops.adaptive import adaptively_consistent, neighborhood
from spice_cli.ops.reliable import Verdict


class Adaptive:
    """A label is trusted if a majority of some neighbourhood has it, beyond chance."""

    uneven: ClassVar[dict[str, JsonValue]] = {"balance": "none"}

    class Config(Frozen):
        """What a person can set beside the settings of every selection."""

        neighbors: Annotated[int, Field(ge=2)] = 50
        """Nearest neighbours in the largest neighbourhood, the image itself among them."""
        balance: Literal["smallest", "none"] = "none"

    def __init__(self, config: Config) -> None:
        self.neighbors = config.neighbors
        self.balance = config.balance

    def hear(self, neighbors: Tensor, labels: Tensor) -> Tensor:
        """Return the size of each neighbourhood and how many in it agree, (r, 2)."""
        return neighborhood(neighbors, labels)

    def judge(self, heard: Tensor, voters: int, probs: Tensor) -> Verdict:
        """Judge the samples of probs (n, k) by what was heard (n, 2)."""
        return adaptively_consistent(heard, voters)

    def looser(self) -> dict[str, float]:
        """Name settings that keep more: there are none."""
        return {}
