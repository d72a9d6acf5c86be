"""`spice run --seeds N`, and `spice compare` of what it leaves."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
from safetensors.torch import load_file
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

Spice = Callable[..., Any]
METRICS = ("acc", "nmi", "ari")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Path:
    """A recipe of one and a half stages."""
    file = tmp_path_factory.mktemp("recipe") / "quick.toml"
    file.write_text(tiny.read_text().replace("epochs = 3", "epochs = 1"))
    return file


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, spice: Spice, settings: Path) -> Path:
    """A family of seeds 3 and 4 up to `self-label`, not to be written to."""
    import torch

    torch.set_num_threads(1)
    path = tmp_path_factory.mktemp("family") / "f"
    line = ["run", "digits", "--recipe", settings, "--seeds", 2, "--seed", 3, "-r", path]
    spice(*line, "--until", "self-label")
    return path


@pytest.fixture
def family(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "f")


def again(spice: Spice, family: Path, *more: object) -> Any:
    line = ["run", "digits", "--seeds", 2, "--seed", 3, "-r", family, "--until", "self-label"]
    return spice(*line, *more)


def truth_beside(run: Path, stage: str = "self-label") -> dict[str, float]:
    guess = load_file(run / f"{stage}.safetensors")["probs"].argmax(1).numpy()
    target = load_digits().target
    return {
        "nmi": normalized_mutual_info_score(target, guess),
        "ari": adjusted_rand_score(target, guess),
    }


def test_every_seed_is_an_ordinary_run_with_the_same_settings(spice: Spice, family: Path) -> None:
    assert sorted(p.name for p in family.iterdir()) == [
        "again.json", "consensus", "family.json", "seed-3", "seed-4",
    ]  # fmt: skip
    manifests = [json.loads((family / f"seed-{s}/run.json").read_text()) for s in (3, 4)]
    assert [m["seed"] for m in manifests] == [3, 4]
    first, second = ({k: v["config"] for k, v in m["stages"].items()} for m in manifests)
    assert first == second
    hashes = [{v["sha256"] for v in m["stages"].values()} for m in manifests]
    assert not hashes[0] & hashes[1]
    one = ["run", "digits", "-r", family / "seed-4", "--until", "self-label"]
    assert spice(*one).stderr.count("is up to date") == 3


def test_a_second_call_does_nothing_and_prints_the_same(
    spice: Spice, family: Path, digests: Callable[[Path], dict[str, str]]
) -> None:
    before = {name: digests(family / name) for name in ("seed-3", "seed-4", "consensus")}
    kept = (family / "family.json").read_text()
    first, second = again(spice, family), again(spice, family)
    assert first.stderr.count("is up to date") == 7
    assert first.stderr == second.stderr
    assert first.stdout == second.stdout
    assert {name: digests(family / name) for name in before} == before
    assert (family / "family.json").read_text() == kept


def test_a_third_call_answers_at_once_until_something_changes(
    spice: Spice, family: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spice_cli.commands import family as command

    class Looked(Exception):
        pass

    def look(*_: Any) -> None:
        raise Looked

    first, as_json = again(spice, family), again(spice, family, "--json")
    again(spice, family)
    with monkeypatch.context() as patch:
        patch.setattr(command, "start", look)
        second = again(spice, family)
        assert (second.stdout, second.stderr) == (first.stdout, first.stderr)
        for more in (["--force"], ["--set", "self-label.lr=0.5"], ["--seeds", 3], ["--json"]):
            with pytest.raises(Looked):
                again(spice, family, *more)
        file = family / "seed-4" / "self-label.safetensors"
        content = file.read_bytes()
        file.write_bytes(content)
        assert again(spice, family).stdout == first.stdout
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(Looked):
            again(spice, family)
        file.write_bytes(content)
    assert again(spice, family, "--json").stdout == as_json.stdout
    with monkeypatch.context() as patch:
        patch.setattr(command, "start", look)
        assert again(spice, family, "--json").stdout == as_json.stdout


def test_what_lies_behind_a_link_is_looked_at_each_time(
    spice: Spice, family: Path, tmp_path: Path
) -> None:
    (family / "seed-4").rename(tmp_path / "elsewhere")
    (family / "seed-4").symlink_to(tmp_path / "elsewhere")
    (family / "again.json").unlink()
    again(spice, family)
    assert not (family / "again.json").exists()


def test_mean_deviation_and_n_are_those_of_the_runs(spice: Spice, family: Path) -> None:
    found = json.loads(again(spice, family, "--json").stdout)
    single = [truth_beside(family / f"seed-{seed}") for seed in (3, 4)]
    for name in ("nmi", "ari"):
        values = [each[name] for each in single]
        scored = found["stages"]["self-label"][name]
        assert scored["n"] == 2
        assert scored["values"] == pytest.approx(values)
        assert scored["mean"] == pytest.approx(mean(values))
        assert scored["deviation"] == pytest.approx(stdev(values))
    assert found["seeds"] == [3, 4]
    lines = [line.split("\t") for line in again(spice, family).stdout.splitlines()]
    assert [line[0] for line in lines] == list(METRICS)
    assert float(lines[2][1]) == pytest.approx(mean(each["ari"] for each in single))
    assert lines[2][3] == "2"


def test_stability_is_the_agreement_of_the_runs(spice: Spice, family: Path) -> None:
    found = json.loads(again(spice, family, "--json").stdout)["stability"]["self-label"]
    one, other = (
        load_file(family / f"seed-{s}/self-label.safetensors")["probs"].argmax(1) for s in (3, 4)
    )
    assert found["ari"] == pytest.approx(adjusted_rand_score(one, other))
    assert found["nmi"] == pytest.approx(normalized_mutual_info_score(one, other))


def test_the_consensus_is_a_run_that_can_be_evaluated(spice: Spice, family: Path) -> None:
    united = family / "consensus"
    scores = json.loads(spice("evaluate", "-r", united, "--json").stdout)
    assert {k: scores[k] for k in ("nmi", "ari")} == pytest.approx(truth_beside(united))
    found = json.loads(again(spice, family, "--json").stdout)
    assert found["consensus"]["self-label"] == pytest.approx({k: scores[k] for k in METRICS})
    record = json.loads((united / "run.json").read_text())["stages"]["self-label"]
    assert record["imported"]
    assert list(record["config"]["from"]["members"]) == ["seed-3", "seed-4"]


def test_a_seed_that_changed_makes_the_consensus_stale_until_it_is_run_again(
    spice: Spice, family: Path
) -> None:
    spice("self-label", "-r", family / "seed-3", "--set", "lr=0.02")
    refused = spice("evaluate", "-r", family / "consensus", code=4).stderr
    assert "`self-label` of `seed-3` changed" in refused
    refused = spice("compare", family, code=4).stderr
    assert "ran `self-label` with different settings (lr)" in refused
    again(spice, family)
    spice("evaluate", "-r", family / "consensus")
    spice("compare", family)


def test_more_seeds_later_leave_the_first_as_they_are(
    spice: Spice, family: Path, settings: Path
) -> None:
    line = ["run", "digits", "--seeds", 3, "--seed", 3, "-r", family, "--until", "embed"]
    result = spice(*line, "--recipe", settings)
    assert result.stderr.count("is up to date") == 4
    assert "seeds 3-5" in result.stderr
    refused = spice("compare", family, "--stage", "self-label", code=3).stderr
    assert f"`{family}/seed-5` has no `self-label` yet" in refused


def test_settings_are_checked_before_the_first_seed_begins(spice: Spice) -> None:
    spice("run", "digits", "--seeds", 2, "--set", "semi.steps=0", code=2)
    assert not list(Path("runs").glob("*/*/*.safetensors"))
    assert not Path("runs/digits-seeds/seed-1").exists()


def test_a_run_cannot_become_a_family(spice: Spice, copied: Path) -> None:
    refused = spice("run", "digits", "--seeds", 2, "-r", copied, code=2).stderr
    assert "is a run, and a family of runs cannot be in it" in refused


def test_without_stages_to_score_the_path_is_printed(
    spice: Spice, family: Path, settings: Path
) -> None:
    line = ["run", "digits", "--seeds", 1, "--seed", 3, "-r", family, "--until", "pretrain"]
    assert spice(*line).stdout == f"{family}\n"


def test_one_seed_has_no_deviation_and_no_consensus(spice: Spice, family: Path) -> None:
    shutil.rmtree(family / "consensus")
    line = ["run", "digits", "--seeds", 1, "--seed", 3, "-r", family, "--until", "self-label"]
    found = json.loads(spice(*line, "--json").stdout)
    assert found["stages"]["self-label"]["acc"]["deviation"] is None
    assert found["consensus"] == {}
    assert not (family / "consensus").exists()
