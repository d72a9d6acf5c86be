"""SPICE's reliable samples: confident images whose nearest neighbours share their label.

https://arxiv.org/abs/2103.09382, section 3.3; `variant` is explained in `config/frozen.py`.
"""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, JsonValue, model_validator
from torch import Tensor

from spice_cli.config.frozen import Frozen, Share, Variant
from spice_cli.ops.reliable import Verdict, agreeing, locally_consistent


class Spice:
    """Local consistency by a fixed share of a fixed number of neighbours."""

    uneven: ClassVar[dict[str, JsonValue]] = {"balance": "none"}

    class Config(Frozen):
        """What a person can set beside the settings of every selection."""

        variant: Variant = "code"
        neighbors: Annotated[int, Field(ge=2)] = 100
        """Nearest neighbours that vote, the image itself among them."""
        agreement: Share | None = None
        """Least share of them with the image's label; `code` at least .99, `paper` over .95."""
        strict: bool | None = None
        confidence: Share | None = None
        """Probability that must be exceeded; `code` .99, `paper` none."""
        balance: Literal["smallest", "none"] | None = None
        """`code` cuts every cluster to the smallest one's size; `paper` keeps all."""

        @model_validator(mode="after")
        def _fill(self) -> Self:
            code = self.variant == "code"
            defaults = {
                "agreement": 0.99 if code else 0.95,
                "strict": not code,
                "confidence": 0.99 if code else 0.0,
                "balance": "smallest" if code else "none",
            }
            for key, value in defaults.items():
                if getattr(self, key) is None:
                    object.__setattr__(self, key, value)
            return self

    def __init__(self, config: Config) -> None:
        self.config = config
        self.neighbors = config.neighbors
        self.balance = config.balance or "none"
        self.agreement, self.confidence = config.agreement or 0.0, config.confidence or 0.0

    def hear(self, neighbors: Tensor, labels: Tensor) -> Tensor:
        """Return how many of the neighbours agree with each sample, (r, 1)."""
        return agreeing(neighbors, labels).unsqueeze(1)

    def judge(self, heard: Tensor, voters: int, probs: Tensor) -> Verdict:
        """Judge the samples of probs (n, k) by what was heard (n, 1)."""
        return locally_consistent(
            heard.squeeze(1),
            voters,
            probs,
            agreement=self.agreement,
            strict=bool(self.config.strict),
            confidence=self.confidence,
        )

    def looser(self) -> dict[str, float]:
        """Name settings that keep more."""
        return {"agreement": self.agreement / 2, "confidence": self.confidence / 2}
