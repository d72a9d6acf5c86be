import pickle
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.estimator_checks import parametrize_with_checks

from spice_cli import SpiceClusterer, cluster
from spice_cli.catalog import HEADS
from spice_cli.ops.metrics import accuracy

QUICK = {"heads": 3, "epochs": 15, "batch_size": 16}
SHORT: dict[str, dict[str, Any]] = {
    "spice": {"heads": 5, "epochs": 30},
    "scan": {"heads": 10, "epochs": 40},
    "temi": {"heads": 10, "epochs": 15},
    "turtle": {"heads": 5, "epochs": 30},
}


@parametrize_with_checks([SpiceClusterer(3, settings=QUICK), SpiceClusterer(3, method="kmeans")])
def test_it_is_as_scikit_learn_wants_estimators_to_be(estimator, check) -> None:
    check(estimator)


def blobs(n: int = 300, k: int = 4, d: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    truth = np.arange(n) % k
    return 4 * np.eye(k, d)[truth] + 0.4 * draw.normal(size=(n, d)), truth


@pytest.mark.parametrize("method", HEADS)
def test_every_head_clusters_and_predicts_new_rows_alike(method: str) -> None:
    rows, truth = blobs()
    settings = SHORT.get(method)
    model = SpiceClusterer(4, method=method, settings=settings, random_state=0).fit(rows)
    assert accuracy(torch.from_numpy(model.labels_), torch.from_numpy(truth)) > 0.9
    np.testing.assert_array_equal(model.predict(rows), model.labels_)
    np.testing.assert_allclose(model.predict_proba(rows), model.probs_, atol=1e-4)
    others, expected = blobs(seed=1)
    found = torch.from_numpy(model.predict(others))
    assert accuracy(found, torch.from_numpy(expected)) > 0.9


def test_uncentred_unit_rows_give_what_cluster_gives() -> None:
    rows, _ = blobs()
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    quick = {"epochs": 3, "precision": "fp32"}
    seed = int(np.random.RandomState(5).randint(2**31 - 1))
    found = SpiceClusterer(4, settings=quick, center=False, random_state=5).fit(rows)
    expected = cluster(rows, 4, seed=seed, settings={"self-label": quick})
    np.testing.assert_allclose(found.probs_, expected.probs, atol=1e-5)


def test_a_common_offset_makes_no_difference() -> None:
    rows, truth = blobs()
    model = SpiceClusterer(4, method="kmeans", random_state=0)
    found = model.fit_predict(rows + 1000)
    assert accuracy(torch.from_numpy(found), torch.from_numpy(truth)) > 0.98


def test_a_row_at_the_mean_is_clustered_too() -> None:
    rows, _ = blobs()
    centred = rows - rows.mean(0)
    zeros = np.zeros((1, rows.shape[1]))
    found = SpiceClusterer(4, method="kmeans").fit(np.concatenate([centred, -centred, zeros]))
    assert len(found.labels_) == 601


def test_it_survives_a_pickle_and_needs_no_files_afterwards() -> None:
    rows, _ = blobs()
    model = SpiceClusterer(4, method="kmeans", random_state=0).fit(rows)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(rows), model.predict(rows))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"n_clusters": 0}, "`clusters` = `0`"),
        ({"n_clusters": 400}, "more than 300"),
        ({"method": "kmean"}, "did you mean `kmeans`"),
        ({"settings": {"heeds": 1}}, "did you mean `heads`"),
    ],
)
def test_what_cannot_be_is_a_value_error_when_it_is_fitted(given: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SpiceClusterer(**given).fit(blobs()[0])
