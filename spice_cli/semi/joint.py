"""Joint training: the feature model and the clustering head go on together from SPICE's stage 2.

Niu, Shan, Wang, IEEE Transactions on Image Processing 31 (2022), https://arxiv.org/abs/2103.09382
(third version), of which we had the abstract. Certain: the network is a feature model and a
clustering head; the feature model is trained first, then the head by prototype pseudo-labels, and
at last both jointly "with the reliable pseudo-labeling algorithm". Our reading: both start from
what the earlier stages left (the released code starts from random weights, `--init random` of the
other methods); the reliable labels are made anew from the network as it gets better; and what is
not reliable teaches as in the first version's equation 6, which is FixMatch's.
"""

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from spice_cli.config.frozen import Frozen, Share
from spice_cli.semi.fixmatch import taught_by_threshold


class Joint(nn.Module):
    """FixMatch from the weights of `self-label`, with reliable labels that are made anew."""

    from_head = True

    class Config(Frozen):
        """What a person can set beside the settings of every semi-supervised training."""

        threshold: Share = 0.95
        """Confidence at which a prediction teaches."""
        renewals: Annotated[int, Field(ge=0)] = 3
        """How often reliable labels are made anew, at even distances in the planned steps."""

    def __init__(self, clusters: int, config: Config) -> None:
        super().__init__()
        self.config = config
        self.renewals = config.renewals

    def forward(self, weak: Tensor, strong: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the unlabelled loss (), and of each image its guess (u,) and if it teaches (u,).

        `weak` and `strong` (u, k) are logits of two views of the same images. Nothing flows back
        through `weak`.
        """
        return taught_by_threshold(weak, strong, self.config.threshold)
