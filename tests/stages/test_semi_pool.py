"""Which images `semi` guesses at: the training ones, and unlabelled ones where asked for."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from spice_cli.config.data import DataSpec
from spice_cli.data import torchvision
from spice_cli.data.dataset import Dataset
from spice_cli.run.store import Run
from spice_cli.stages import semi
from spice_cli.stages.images import forget
from spice_cli.stages.semi_step import Step

Spice = Callable[..., Any]
UNLABELLED, TRAIN, TEST = 80, 120, 60


def pixels() -> Tensor:
    rows = torch.from_numpy(load_digits().images[: UNLABELLED + TRAIN + TEST] * 15)
    return rows.to(torch.uint8)[:, None].repeat(1, 3, 1, 1)


def small(spec: DataSpec, say: Callable[[str], None]) -> Dataset:
    """Stand in for STL-10."""
    both = spec.protocol == "whole"
    return Dataset(
        images=pixels()[UNLABELLED:],
        train=TRAIN + TEST if both else TRAIN,
        classes=10,
        names=None,
        paths=None,
        bad=(),
        read_labels=lambda: None,
        test=TEST,
        pool=pixels(),
    )


@pytest.fixture(params=["whole", "split"])
def selected(
    request: pytest.FixtureRequest, spice: Spice, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    monkeypatch.setattr(torchvision, "stl10", small)
    monkeypatch.setattr(semi, "check_shares", lambda *_, **__: None)
    forget()
    short = ["pretrain.epochs=1", "pretrain.batch_size=64", "self-label.method=kmeans"]
    sets = [word for text in short for word in ("--set", text)]
    line = ["run", "stl10", "--recipe", tiny, "-r", "r", "--protocol", request.param, *sets]
    spice(*line, "--until", "select-reliable")
    return str(request.param)


def record() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path("r/run.json").read_text())["stages"]["semi"]
    return found


@pytest.mark.parametrize("asked", [False, True])
def test_labelled_images_stay_who_they_are_in_a_larger_pool(
    spice: Spice, selected: str, asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Tensor, Tensor]] = []

    class Watched(Step):
        def __call__(self, step: int, known: tuple[Tensor, Tensor], *more: Any) -> Any:
            seen.append((self.pool, known[0]))
            return super().__call__(step, known, *more)

    monkeypatch.setattr(semi, "Step", Watched)
    flags = ["--set", "unlabelled=true"] if asked else []
    spice("semi", "-r", "r", "--steps", 2, *flags)
    from safetensors.torch import load_file

    index = load_file("r/select-reliable.safetensors")["index"]
    train = {"whole": TRAIN + TEST, "split": TRAIN}[selected]
    first = 0 if asked else UNLABELLED
    for pool, known in seen:
        assert torch.equal(pool, pixels()[first : UNLABELLED + train])
        assert torch.equal(pool[known], pixels()[UNLABELLED:][index])
    assert len(seen) == 2
    assert record()["config"].get("unlabelled", False) is asked
    assert load_file("r/semi.safetensors")["probs"].shape == (TRAIN + TEST, 10)


def test_more_images_to_guess_at_are_more_steps(
    spice: Spice, selected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(semi, "semi_steps", lambda reliable, images, *_: asked.append(images) or 1)
    run = Run.open(Path("r"))
    sections = dict(run.manifest.recipe.sections)
    sections["semi"] = {key: v for key, v in sections["semi"].items() if key != "steps"}
    run.change(recipe=run.manifest.recipe.model_copy(update={"sections": sections}))
    spice("semi", "-r", "r")
    spice("semi", "-r", "r", "--set", "unlabelled=true")
    train = {"whole": TRAIN + TEST, "split": TRAIN}[selected]
    assert asked == [train, train + UNLABELLED]
