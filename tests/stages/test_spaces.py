import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

Spice = Callable[..., Any]
N = 120
TURTLE = ["self-label", "-r", "one", "-k", 2, "--method", "turtle", "--epochs", 8]


@pytest.fixture
def spaces(spice: Spice) -> np.ndarray:
    """Write spaces in which classes are clear, and other things clearer; return the classes."""
    draw, i = np.random.default_rng(0), np.arange(N)
    for name, other, width in (("one", i // 2 % 2, 8), ("two", i // 4 % 2, 6)):
        rows = 0.1 * draw.normal(size=(N, width))
        rows[:, 0] += 1.5 * other - 0.75
        rows[:, 1] += 1.0 * (i % 2) - 0.5
        np.save(f"{name}.npy", rows.astype(np.float32))
        spice("embed", "--from", f"{name}.npy", "-r", name)
    return i % 2


def record() -> Any:
    return json.loads(Path("one/run.json").read_text())["stages"]["self-label"]


def labels() -> np.ndarray:
    return load_file("one/self-label.safetensors")["probs"].argmax(1)


@pytest.mark.usefixtures("spaces")
def test_a_run_and_the_file_that_it_was_made_of_are_the_same_space(spice: Spice) -> None:
    probs = []
    for space in ("two", "two.npy"):
        spice(*TURTLE, "--space", space)
        (named,) = record()["config"]["spaces"]
        assert named["name"] == str(Path(space).resolve())
        assert len(named["sha256"]) == 64
        probs.append(load_file("one/self-label.safetensors")["probs"])
    np.testing.assert_array_equal(*probs)


def test_two_spaces_agree_on_what_they_share(spice: Spice, spaces: np.ndarray) -> None:
    for further, same in (((), False), (("--space", "two"), True)):
        spice(*TURTLE, *further)
        assert (len(set(zip(labels(), spaces, strict=True))) == 2) is same


@pytest.mark.usefixtures("spaces")
def test_a_space_that_changed_makes_the_stage_run_again(spice: Spice) -> None:
    again = [*TURTLE, "--space", "two.npy"]
    spice(*again)
    assert "up to date" in spice(*again).stderr
    before = labels()
    np.save("two.npy", np.random.default_rng(1).normal(size=(N, 6)))
    assert "done in" in spice(*again).stderr
    assert (labels() != before).any()
    assert "done in" in spice(*TURTLE).stderr
    assert record()["config"]["spaces"] == []


@pytest.mark.usefixtures("spaces")
def test_what_cannot_be_a_space_is_said_in_a_sentence(spice: Spice) -> None:
    np.save("short.npy", np.ones((N - 1, 3)))
    np.save("zeros.npy", np.zeros((N, 3)))
    np.save("few.npy", np.ones((9, 3)))
    Path("empty").mkdir()
    save_file({"other": np.ones((N, 3), np.float32)}, "other.safetensors")
    spice("embed", "--from", "few.npy", "-r", "few")
    for space, code, said in (
        ("gone", 3, "there is no run and no file at"),
        ("empty", 3, "there is no run at"),
        ("short.npy", 4, "has features of 119 images, the run has 120"),
        ("zeros.npy", 4, "rows of zeros"),
        ("other.safetensors", 4, "has no tensor `embeddings`"),
        ("few", 4, "is a run on `few` (9 images), this one is on `one` (120 images)"),
    ):
        assert said in spice(*TURTLE, "--space", space, code=code).stderr


@pytest.mark.usefixtures("spaces")
def test_methods_that_look_at_one_space_refuse_others(spice: Spice) -> None:
    asked = ["self-label", "-r", "one", "-k", 2, "--method", "temi", "--space", "two.npy"]
    result = spice(*asked, code=2)
    assert "`temi` looks at the embeddings alone" in result.stderr
    assert "--method turtle" in result.stderr


def test_a_run_on_the_same_images_in_another_size_may_be_a_space(
    spice: Spice, finished: Path, tiny: Path, tmp_path: Path
) -> None:
    quick = ["--recipe", tiny, "--set", "pretrain.epochs=1", "--until", "embed"]
    spice("run", "digits", "--size", 12, "-r", "other", *quick)
    spice("run", "digits", "-r", "ours", *quick)
    spice(
        *("self-label", "-r", "ours", "--method", "turtle", "--epochs", 1),
        *("--set", "updates=1", "--space", "other"),
    )
