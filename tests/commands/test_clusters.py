import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Spice = Callable[..., Any]


def manifest(run: Path) -> Any:
    return json.loads((run / "run.json").read_text())


def keep(run: Path, best: int, *, evident: bool = True, largest: int | None = None) -> None:
    """Put an estimate into a run, as if it had been made."""
    tried = list(range(2, 13))
    found = {
        "features": manifest(run)["stages"]["embed"]["sha256"],
        "seed": 0,
        "most": None,
        "clusters": tried,
        "silhouette": [[0.5, 0.01]] * len(tried),
        "strength": [[0.9, 0.01]] * len(tried),
        "cloud": [0.2] * len(tried),
        "cloud_strength": [0.3] * len(tried),
        "best": best,
        "least": best,
        "largest": largest or best,
        "evident": evident,
    }
    (run / "clusters.json").write_text(json.dumps(found))


def test_the_curve_is_a_table_the_estimate_is_said_and_both_are_kept(
    spice: Spice, copied: Path
) -> None:
    result = spice("clusters", "-r", copied, "--most", 3)
    header, *rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert header[0] == "clusters"
    assert [row[0] for row in rows] == ["2", "3"]
    assert all(len(row) == len(header) for row in rows)
    assert "clusters" in result.stderr and "silhouette" in result.stderr
    kept = json.loads((copied / "clusters.json").read_text())
    assert kept["most"] == 3
    assert json.loads(spice("clusters", "-r", copied, "--most", 3, "--json").stdout) == kept


def test_auto_takes_the_estimate_into_the_config_of_the_stage(spice: Spice, copied: Path) -> None:
    keep(copied, 5)
    result = spice("self-label", "-r", copied, "-k", "auto", "--set", "epochs=1")
    assert "about 5 clusters, 5 to 5" in result.stderr
    assert manifest(copied)["stages"]["self-label"]["config"]["clusters"] == 5
    spice("run", "digits", "-r", copied, "-k", "auto", "--until", "self-label")
    assert manifest(copied)["stages"]["self-label"]["config"]["clusters"] == 5
    again = spice("run", "digits", "-r", copied, "-k", "auto", "--until", "self-label")
    assert "`self-label` is up to date" in again.stderr


def test_a_wide_range_is_said_with_what_to_do(spice: Spice, copied: Path) -> None:
    keep(copied, 5, largest=12)
    result = spice("clusters", "-r", copied)
    assert "--clusters 10" in result.stderr and "spice merge --tree" in result.stderr


def test_without_evidence_of_clusters_too_many_are_taken_and_it_is_said(
    spice: Spice, copied: Path
) -> None:
    keep(copied, 5, evident=False)
    assert "no evidence of clusters" in spice("clusters", "-r", copied).stderr
    told = spice("self-label", "-r", copied, "-k", "auto", "--set", "epochs=1").stderr
    assert "the features show no clusters" in told and "spice merge --tree" in told
    assert manifest(copied)["stages"]["self-label"]["config"]["clusters"] == 10


def test_an_estimate_of_other_features_is_not_used(spice: Spice, copied: Path) -> None:
    keep(copied, 5)
    spice("clusters", "-r", copied, "--most", 3, "--seed", 1)
    assert json.loads((copied / "clusters.json").read_text())["best"] in (2, 3)


def test_what_cannot_be_is_said_before_anything_runs(spice: Spice) -> None:
    assert "neither a number" in spice("run", "digits", "-k", "many", code=2).stderr
    assert "neither a number" in spice("run", "digits", "-k", "1", code=2).stderr
    failed = spice("run", "digits", "-k", "auto", "--set", "pretrain.method=cc", code=2)
    assert "`cc` needs the number of clusters before" in failed.stderr
    failed = spice("run", "digits", "-k", "auto", "--set", "self-label.clusters=4", code=2)
    assert "which?" in failed.stderr


@pytest.mark.parametrize(
    ("method", "key", "value"),
    [
        ("spice", "balance", "none"),
        ("scan", "entropy", 2.0),
        ("turtle", "gamma", 2.0),
        ("temi", "beta", 0.8),
    ],
)
def test_without_balance_every_method_takes_its_own_setting(
    spice: Spice, copied: Path, method: str, key: str, value: object
) -> None:
    flags = ("--method", method, "--balance", "none", "--set", "epochs=1", "--set", "heads=2")
    more = ("--set", "backbone=frozen") if method == "scan" else ()
    spice("self-label", "-r", copied, *flags, *more)
    config = manifest(copied)["stages"]["self-label"]["config"]
    assert config["settings"][key] == value


@pytest.mark.parametrize("method", ["graph", "kmeans"])
def test_heads_without_a_setting_for_balance_say_so(
    spice: Spice, copied: Path, method: str
) -> None:
    told = spice("self-label", "--method", method, "--balance", "none", "-r", copied).stderr
    assert "`--balance none` changes nothing" in told


def test_a_setting_that_is_given_wins_over_balance(spice: Spice, copied: Path) -> None:
    flags = ("--method", "turtle", "--balance", "none", "--set", "gamma=5", "--set", "epochs=1")
    spice("self-label", "-r", copied, *flags)
    assert manifest(copied)["stages"]["self-label"]["config"]["settings"]["gamma"] == 5


def test_balance_none_reaches_all_stages_of_a_run(spice: Spice, copied: Path) -> None:
    spice("run", "digits", "-r", copied, "--balance", "none", "--set", "semi.method=freematch")
    stages = manifest(copied)["stages"]
    assert stages["self-label"]["config"]["settings"]["balance"] == "none"
    assert stages["select-reliable"]["config"]["settings"]["balance"] == "none"
    assert stages["semi"]["config"]["settings"]["fairness"] == 0
