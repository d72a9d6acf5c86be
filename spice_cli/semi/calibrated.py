"""Calibrated self-training: an honest confidence decides how many predictions of a cluster teach.

The idea of CDC (Jia, Cheng, Liu, Hou, Towards Calibrated Deep Clustering Network, ICLR 2025,
https://arxiv.org/abs/2403.02998), of which we had the abstract. Certain: beside the clustering head
there is a calibration head; it learns, without labels, the mean prediction of the mini-cluster of
features that an image falls in; its confidence selects the predictions that teach. Our reading, and
where ours differs: the calibration head sets a temperature for each image from its features, so
that it changes how sure the network is and never what it says (the reference's is a classifier of
its own, kept from collapsing by an entropy term that a temperature does not need); it starts at
temperature 1; mini-clusters are those of the batch; and of a cluster's predictions as many teach,
the surest first, as should be right: the sum of their confidences.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spice_cli.config.frozen import Count, Frozen
from spice_cli.ops.regions import mini_clusters, region_means

HIDDEN = 64


class Calibrated(nn.Module):
    """The surest predictions of each cluster teach, as many as an honest confidence expects."""

    reads_features = True

    class Config(Frozen):
        """What a person can set beside the settings of every semi-supervised training."""

        regions: Count = 3
        """Mini-clusters for each cluster; with fewer images in a batch, one for every two."""

    def __init__(self, clusters: int, config: Config, features: int | None = None) -> None:
        """`features` is the width of the features; without any, weak logits stand in for them."""
        super().__init__()
        self.config = config
        width = features or clusters
        self.scale = math.sqrt(width)
        self.hidden = nn.Linear(width, HIDDEN)
        self.out = nn.Linear(HIDDEN, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(
        self, weak: Tensor, strong: Tensor, features: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the loss (), and of each image its guess (u,) and if it teaches (u,).

        `weak` and `strong` (u, k) are float32 logits of two views of the same images, `features`
        (u, d) those of the weak views. Through neither `weak` nor `features` anything flows back.
        The loss is that of the strong views and that of the calibration head.
        """
        weak = weak.detach()
        features = weak if features is None else features.detach()
        count = max(1, min(self.config.regions * weak.shape[1], len(weak) // 2))
        regions = mini_clusters(features, count)
        wanted = region_means(weak.softmax(1), regions, count)
        honest = self.calibrated(weak, features)
        guess = weak.argmax(1)
        teaches = surest(honest.detach().softmax(1).amax(1), guess, weak.shape[1])
        loss = (F.cross_entropy(strong, guess, reduction="none") * teaches).mean()
        return loss + F.cross_entropy(honest, wanted), guess, teaches

    def calibrated(self, logits: Tensor, features: Tensor) -> Tensor:
        """Return the logits (n, k) times 0 to 2, by the direction of an image's features (n, d)."""
        hidden = self.hidden(F.normalize(features) * self.scale).relu()
        factor: Tensor = 2 * self.out(hidden).sigmoid()
        return logits * factor


def surest(confidence: Tensor, guess: Tensor, clusters: int) -> Tensor:
    """Return 1.0 for the surest of each cluster's predictions (u,), else 0.0.

    Of the images with the same guess (u,) as many as the sum of their confidences (u,), rounded;
    ties go to the lower index.
    """
    place = torch.arange(len(guess), device=guess.device)
    surer = confidence[None] > confidence[:, None]
    tied = (confidence[None] == confidence[:, None]) & (place[None] < place[:, None])
    rank = ((guess[None] == guess[:, None]) & (surer | tied)).sum(1)
    expected = confidence.new_zeros(clusters).scatter_add_(0, guess, confidence).round()
    return (rank < expected[guess]).float()
