import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from spice_cli.stages.images import forget

Spice = Callable[..., Any]


def manifest(run: Path) -> Any:
    return json.loads((run / "run.json").read_text())


def stages(run: Path) -> list[str]:
    return list(manifest(run)["stages"])


def test_the_scores_of_the_last_stage_are_stdout_and_all_are_json(
    spice: Spice, copied: Path
) -> None:
    result = spice("run", "digits", "-r", copied)
    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == ["acc", "nmi", "ari"]
    found = json.loads(spice("run", "digits", "-r", copied, "--json").stdout)
    assert list(found) == ["embed", "self-label", "semi"]
    assert f"{found['semi']['acc']}" in result.stdout
    table = [line.split() for line in result.stderr.splitlines()]
    at = table.index(["stage", "acc", "nmi", "ari"])
    for row, (name, each) in zip(table[at + 1 :], found.items(), strict=False):
        assert row == [name, *(f"{each[metric]:.4f}" for metric in ("acc", "nmi", "ari"))]


@pytest.mark.parametrize(
    ("until", "scored"),
    [
        ("pretrain", []),
        ("embed", ["embed"]),
        ("self-label", ["embed", "self-label"]),
        ("select-reliable", ["embed", "self-label"]),
        ("semi", ["embed", "self-label", "semi"]),
    ],
)
def test_until_stops_after_a_stage_and_scores_up_to_it(
    spice: Spice, copied: Path, until: str, scored: list[str]
) -> None:
    result = spice("run", "digits", "-r", copied, "--until", until, "--json")
    assert list(json.loads(result.stdout)) == scored
    last = [line for line in result.stderr.splitlines() if "is up to date" in line][-1]
    assert last == f"`{until}` is up to date"


def test_until_begins_no_later_stage(spice: Spice, tiny: Path) -> None:
    spice("run", "digits", "--recipe", tiny, "--until", "pretrain")
    assert stages(Path("runs/digits")) == ["pretrain"]


def test_a_recipe_that_names_its_data_set_is_a_name_too(spice: Spice, tiny: Path) -> None:
    shutil.copy(tiny, "mine.toml")
    result = spice("run", "mine.toml", "--until", "pretrain", "--set", "pretrain.epochs=1")
    assert result.stdout == "runs/mine\n"
    assert manifest(Path("runs/mine"))["recipe"]["name"] == "mine.toml"
    assert manifest(Path("runs/mine"))["stages"]["pretrain"]["config"]["epochs"] == 1


def test_a_recipe_without_a_data_set_says_how_to_name_one(spice: Spice) -> None:
    Path("bare.toml").write_text("[semi]\nsteps = 5\n")
    assert "spice run DATASET --recipe bare.toml" in spice("run", "bare.toml", code=2).stderr
    assert "no recipe at `gone.toml`" in spice("run", "gone.toml", code=3).stderr


def test_a_run_keeps_its_recipe_until_it_is_given_another(
    spice: Spice, copied: Path, tiny: Path
) -> None:
    spice("run", "digits", "-r", copied, "--until", "embed")
    assert manifest(copied)["recipe"]["name"] == str(tiny)
    Path("other.toml").write_text(tiny.read_text().replace("heads = 4", "heads = 3"))
    line = ["run", "digits", "-r", copied, "--recipe", "other.toml", "--until", "self-label"]
    result = spice(*line)
    assert "`embed` is up to date" in result.stderr
    assert "`self-label` is up to date" not in result.stderr
    assert manifest(copied)["stages"]["self-label"]["config"]["heads"] == 3


def test_the_settings_of_late_stages_are_checked_before_the_first_begins(
    spice: Spice, tiny: Path
) -> None:
    line = ["run", "digits", "--recipe", tiny, "--set", "semi.steps=0"]
    assert "`steps` = `0`" in spice(*line, code=2).stderr
    assert stages(Path("runs/digits")) == []


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Forty plain images of digits, in one directory."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, image in enumerate(load_digits().images[:40]):
        Image.fromarray((image * 15).astype(np.uint8)).save(folder / f"{number:02}.png")
    return folder


SMALL = """
[pretrain]
backbone = "small"
width = 4
epochs = 1
batch_size = 20
queue = 20
splits = 1
[self-label]
heads = 2
epochs = 1
passes = 1
entropy = 3.0
lr = 0.001
[select-reliable]
neighbors = 4
agreement = 0.1
confidence = 0.0
min_per_cluster = 2
[semi]
steps = 4
lr = 0.0001
batch_size = 4
ratio = 1
"""


def test_a_folder_without_labels_needs_a_number_of_clusters_at_once(
    spice: Spice, pictures: Path
) -> None:
    result = spice("run", pictures, code=2)
    assert "the data set declares no classes" in result.stderr
    assert "--clusters K" in result.stderr
    assert not Path("runs").exists()


def test_a_folder_without_labels_is_clustered_and_described(spice: Spice, pictures: Path) -> None:
    Path("small.toml").write_text(SMALL)
    line = ["run", pictures, "--recipe", "small.toml", "-k", 2, "--json"]
    found = json.loads(spice(*line).stdout)
    names = {"clusters", "smallest", "largest", "confidence"}
    assert all(names <= set(each) for each in found.values())
    assert not {"acc", "nmi", "ari"} & set(found["semi"])
    result = spice("evaluate", "--metrics", "acc")
    assert "no ground truth to compare with" in result.stderr
    assert not Path("runs/pictures/confusion.png").exists()
    assert json.loads(Path("runs/pictures/evaluate.json").read_text())["protocol"] == "whole"


def test_a_hint_repeats_the_number_of_clusters_that_only_a_flag_told(
    spice: Spice, pictures: Path
) -> None:
    Path("small.toml").write_text(SMALL)
    spice("run", pictures, "--recipe", "small.toml", "-k", 2, "--until", "self-label")
    spice("pretrain", "--epochs", 2)
    hint = spice("select-reliable", code=4).stderr.split("hint: ")[1]
    for command in hint.strip().split(" && "):
        spice(*command.split()[1:])
    spice("select-reliable")


@pytest.fixture
def split(tmp_path: Path) -> np.ndarray:
    """Write `split.npz`: 60 training and 20 test images; return the true classes of the latter."""
    images, labels = load_digits(n_class=2, return_X_y=True)
    images = (images.reshape(-1, 8, 8) * 15).astype(np.uint8)
    np.savez(
        tmp_path / "split.npz",
        images=images[:60],
        labels=labels[:60],
        test_images=images[60:80],
        test_labels=labels[60:80],
    )
    return np.asarray(labels[60:80])


def test_the_split_protocol_trains_on_train_and_scores_on_test(
    spice: Spice, split: np.ndarray
) -> None:
    Path("small.toml").write_text(SMALL)
    line = ["run", "split.npz", "--recipe", "small.toml", "-k", 2, "--protocol", "split"]
    spice(*line)
    run = Path("runs/split")
    assert manifest(run)["data"]["spec"]["protocol"] == "split"
    assert (manifest(run)["data"]["train"], manifest(run)["data"]["test"]) == (60, 20)
    from safetensors.torch import load_file

    assert load_file(run / "embed.safetensors")["embeddings"].shape[0] == 80
    assert load_file(run / "select-reliable.safetensors")["index"].max() < 60
    for stage in ("semi", "self-label"):
        guess = load_file(run / f"{stage}.safetensors")["probs"][60:].argmax(1).numpy()
        right = (guess == split).mean()
        result = spice("evaluate", "--stage", stage, "--metrics", "acc", "--json")
        assert json.loads(result.stdout)["acc"] == pytest.approx(max(right, 1 - right))
        assert "split, n = 20" in result.stderr
        assert "protocol split (test images alone), 20 images" in result.stderr
    assert "split, n = 20" in spice("evaluate", "--stage", "embed").stderr
    chosen = spice("evaluate", "--stage", "select-reliable").stderr
    assert "protocol split, only the" in chosen
    again = spice("run", "split.npz", "--protocol", "split", "-k", 2)
    assert again.stderr.count("is up to date") == 5
    assert "other settings" in spice("run", "split.npz", "-k", 2, code=4).stderr


def test_the_whole_protocol_trains_and_scores_on_both(spice: Spice, split: np.ndarray) -> None:
    Path("small.toml").write_text(SMALL)
    spice("run", "split.npz", "--recipe", "small.toml", "-k", 2, "--until", "embed")
    data = manifest(Path("runs/split"))["data"]
    assert (data["spec"]["protocol"], data["train"], data["test"]) == ("whole", 80, 0)


def test_split_without_test_images_is_refused(spice: Spice, pictures: Path) -> None:
    result = spice("pretrain", pictures, "--protocol", "split", code=2)
    assert "has no test images" in result.stderr
    assert not Path("runs").exists()


def test_unreadable_images_are_left_out_and_listed(spice: Spice, pictures: Path) -> None:
    (pictures / "05.png").write_bytes(b"\x89PNG not")
    Path("small.toml").write_text(SMALL)
    line = ["run", pictures, "--recipe", "small.toml", "-k", 2, "--until", "embed"]
    result = spice(*line)
    assert result.stderr.count("left out 1 of") == 1
    assert "05.png" in result.stderr
    forget()
    told = spice("evaluate", "-k", 2).stderr
    assert "  1 unreadable images left out" in told
    assert "05.png" not in told
    assert "lie decoded" not in told
    for file in Path(os.environ["SPICE_DATA"], "decoded").iterdir():
        shutil.rmtree(file, ignore_errors=True)
    forget()
    assert "05.png" in spice("evaluate", "-k", 2).stderr
    assert "report" in result.stderr.splitlines()[-1]
    assert Path("runs/pictures/report.html").is_file()
    assert "1 cannot be read, and are left out: `05.png`" in result.stderr
    assert "checked" not in spice(*line).stderr
    assert manifest(Path("runs/pictures"))["data"]["bad"] == ["05.png"]
    assert "1 unreadable images left out" in spice("evaluate", "-k", 2).stderr


def test_a_recipe_says_where_to_end_and_until_says_otherwise(spice: Spice, tiny: Path) -> None:
    Path("short.toml").write_text('until = "embed"\n' + tiny.read_text())
    line = ["run", "short.toml", "--set", "pretrain.epochs=1"]
    result = spice(*line)
    assert stages(Path("runs/short")) == ["pretrain", "embed"]
    assert "ends with `embed`, as the recipe has it; `--until semi` goes on" in result.stderr
    assert manifest(Path("runs/short"))["recipe"]["until"] == "embed"
    assert "ends with" not in spice(*line, "--until", "self-label").stderr
    assert stages(Path("runs/short")) == ["pretrain", "embed", "self-label"]
    again = json.loads(spice("run", "digits", "-r", "runs/short", "--json").stdout)
    assert list(again) == ["embed"]


def test_a_recipe_can_end_with_no_stage_that_there_is_not(spice: Spice, tiny: Path) -> None:
    for value, told in (('"embd"', "did you mean `embed`?"), ("3", "there are pretrain, embed")):
        Path("odd.toml").write_text(f"until = {value}\n{tiny.read_text()}")
        assert told in spice("run", "odd.toml", code=2).stderr
