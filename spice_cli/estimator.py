"""Clustering of embeddings as scikit-learn has it."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

from spice_cli.api import Result, cluster
from spice_cli.errors import SpiceError
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.restored_head import head_of

EPSILON = 1e-30
BLOCK = 4096
"""Rows that are predicted together."""


class SpiceClusterer(ClusterMixin, BaseEstimator):  # type: ignore[misc]
    """Clusters of embeddings by one of the heads of `spice self-label`.

    Rows are centred and scaled to unit length first, so that only their directions from the mean
    count; a row that is the mean gets the direction of ones. What cannot be clustered is a
    ValueError.

    Args:
        n_clusters: how many to find; one holds all rows.
        method: of the head: `spice`, `scan`, `temi`, `turtle`, `graph`, `kmeans` or `gmm`.
        settings: of the head, as in `{"heads": 5, "epochs": 50}`; None: the method's own.
        center: whether the mean of the rows that it is fitted to is taken away; embeddings that the
            command line clusters are not centred.
        random_state: a seed, a generator of numpy, or None for chance.
        device: `auto`, `cpu`, `cuda` or `cuda:N`, where it is fitted.

    Attributes:
        labels_: (n,) int64, the cluster of each row that it was fitted to.
        probs_: (n, k) float32.
        mean_: (d,) float32, what was taken away.
        n_features_in_: width of these rows.
    """

    def __init__(
        self,
        n_clusters: int = 10,
        *,
        method: str = "spice",
        settings: dict[str, Any] | None = None,
        center: bool = True,
        random_state: int | np.random.RandomState | None = None,
        device: str = "auto",
    ) -> None:
        self.n_clusters = n_clusters
        self.method = method
        self.settings = settings
        self.center = center
        self.random_state = random_state
        self.device = device

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the clusters of rows (n, d); `y` is not looked at."""
        rows = validate_data(self, X, dtype=np.float32, ensure_min_samples=2)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        self.mean_ = rows.mean(0) if self.center else np.zeros_like(rows[0])
        rows = self._directions(rows)
        if self.n_clusters == 1:
            self._head: nn.Module = Whole()
            self.labels_ = np.zeros(len(rows), np.int64)
            self.probs_ = np.ones((len(rows), 1), np.float32)
            return self
        try:
            with TemporaryDirectory(prefix="spice-") as run:
                found = self._clustered(rows, seed, run)
                self._head = head_of(Run.open(Path(run)), Stage.SELF_LABEL, torch.device("cpu"))
        except SpiceError as error:
            raise ValueError(f"{error}; {error.hint}" if error.hint else str(error)) from error
        self.labels_, self.probs_ = found.labels, found.probs
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the cluster (m,) of rows (m, d), by the head that was fitted."""
        labels: np.ndarray = self.predict_proba(X).argmax(1)
        return labels

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probabilities (m, k) of rows (m, d)."""
        check_is_fitted(self)
        rows = self._directions(validate_data(self, X, dtype=np.float32, reset=False))
        with torch.inference_mode():
            parts = [self._head(some) for some in torch.split(torch.from_numpy(rows), BLOCK)]
        probs: np.ndarray = torch.cat(parts).numpy()
        return probs

    def _directions(self, rows: np.ndarray) -> np.ndarray:
        centred = torch.from_numpy(rows - self.mean_)
        centred[centred.norm(dim=1) == 0] = 1
        directions: np.ndarray = F.normalize(centred, eps=EPSILON).numpy()
        return directions

    def _clustered(self, rows: np.ndarray, seed: int, run: str) -> Result:
        return cluster(
            rows,
            self.n_clusters,
            seed=seed,
            method=self.method,
            settings={"self-label": {"precision": "fp32", **(self.settings or {})}},
            run=run,
            device=self.device,
        )


class Whole(nn.Module):
    """The head of a single cluster."""

    def forward(self, rows: Tensor) -> Tensor:
        """Map rows (b, d) to ones (b, 1)."""
        return rows.new_ones(len(rows), 1)
