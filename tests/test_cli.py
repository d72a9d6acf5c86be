import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import spice_cli
from spice_cli import cli
from spice_cli.catalog import DATASETS
from spice_cli.errors import CollapsedError, InvalidError, MissingError, SpiceError, UsageError

Spice = Callable[..., Any]
COMMANDS = [
    "run", "pretrain", "embed", "self-label", "select-reliable", "semi", "evaluate", "status",
    "datasets", "recipes", "compare", "import", "report", "predict", "check",
    "export",
]  # fmt: skip


def test_the_version_is_printed(spice: Spice) -> None:
    assert spice("--version").stdout == f"{spice_cli.__version__}\n"


def test_help_lists_every_command(spice: Spice) -> None:
    text = spice("--help").stdout
    assert all(f" {name} " in text for name in COMMANDS)
    assert " reference " not in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(spice: Spice, name: str) -> None:
    assert "Usage: " in spice(name, "-h").stdout


def test_help_imports_nothing_heavy_and_answers_at_once() -> None:
    program = (
        "import sys\nfrom spice_cli.cli import main\nsys.argv = ['spice', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'numpy', 'pydantic', 'safetensors', 'matplotlib', 'sklearn'}\n"
        "print(sorted(heavy & {name.split('.')[0] for name in sys.modules}))\n"
    )
    # Hyperthreads of a busy machine are slower than the cores of an idle one.
    limit = 0.3 if os.getloadavg()[0] < (os.cpu_count() or 1) / 2 else 0.6
    spent = [1.0]
    while min(spent) > limit and len(spent) < 10:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert done.stdout.splitlines()[-1] == "[]", done.stderr
        user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
        spent.append(user + system)
    assert min(spent) < limit


@pytest.mark.parametrize(
    ("error", "code"), [(UsageError, 2), (MissingError, 3), (InvalidError, 4), (CollapsedError, 4)]
)
def test_an_expected_failure_ends_in_a_sentence_a_hint_and_its_code(
    spice: Spice, monkeypatch: pytest.MonkeyPatch, error: type[SpiceError], code: int
) -> None:
    def fail() -> Any:
        raise error("`that` is [bold]wrong", hint="spice this --like [that]")

    monkeypatch.setattr("spice_cli.settings.recipes.recipe_names", fail)
    result = spice("recipes", code=code)
    assert result.stdout == ""
    expected = "error: `that` is [bold]wrong\n\nhint: spice this --like [that]\n"
    assert result.stderr == expected


def test_a_bug_keeps_its_traceback(spice: Spice, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr("spice_cli.settings.recipes.recipe_names", fail)
    with pytest.raises(ZeroDivisionError):
        spice("recipes", code=1)


def test_an_interrupt_exits_130_and_says_how_to_go_on(
    spice: Spice, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop() -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("spice_cli.settings.recipes.recipe_names", stop)
    assert "the same command, without `--force`, goes on" in spice("recipes", code=130).stderr


def test_a_closed_pipe_ends_it_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: Any) -> Any:
        raise BrokenPipeError

    read, write = os.pipe()
    monkeypatch.setattr(cli, "app", broken)
    monkeypatch.setattr(sys, "stdout", os.fdopen(write, "w"))
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 1
    os.close(read)


@pytest.mark.parametrize(
    ("line", "suggestion"),
    [
        ("pretain digits", "Did you mean 'pretrain'?"),
        ("pretrain digit", "did you mean `digits`?"),
        ("run digit", "did you mean `digits`?"),
        ("run digits --recipe digts", "did you mean `digits`?"),
        ("recipes digts", "did you mean `digits`?"),
        ("run digits --set semmi.steps=3", "pretrain, embed, self-label, select-reliable, semi"),
        ("run digits --set semi.stepz=3", "did you mean `steps`?"),
        ("run digits --until sem", "did you mean `semi`?"),
        ("pretrain digits --set epoch=3", "did you mean `epochs`?"),
        ("pretrain digits --set views.flp=0", "`views.flp` is not a setting"),
        ("pretrain digits --set epochs", "--set lr=0.03"),
        ("pretrain digits --epoch 3", "--epochs"),
        ("pretrain digits --method simclear", "did you mean `simclr`?"),
        ("pretrain digits --backbone resnet17", "did you mean `resnet"),
        ("pretrain digits --set method=simclear", "did you mean `simclr`?"),
        ("pretrain digits --set backbone=vgg", "there are small, resnet"),
        ("pretrain digits --precision fp8", "`precision` = `fp8`"),
        ("pretrain digits --device cuda:99", "--device auto"),
        ("pretrain digits --device meta", "--device auto"),
        ("pretrain digits --device gpu", "--device auto"),
        ("pretrain digits --size 1", "`size` = `1`"),
        ("pretrain --recipe digits", "spice pretrain DATASET --recipe"),
        ("pretrain --protocol split", "spice pretrain DATASET --protocol"),
        ("evaluate --metrics accc", "did you mean `acc`?"),
        ("evaluate --stage selflabel", "did you mean `self-label`?"),
        ("evaluate --average harmonic", "arithmetic, geometric"),
        ("evaluate --match two-to-one", "did you mean `one-to-one`?"),
        ("evaluate acc", "unexpected extra argument"),
    ],
)
def test_what_is_misspelt_exits_2_and_suggests(spice: Spice, line: str, suggestion: str) -> None:
    assert suggestion in " ".join(spice(*line.split(), code=2).stderr.split())


def test_all_faults_of_a_config_are_listed_at_once(spice: Spice, copied: Path) -> None:
    stderr = spice("semi", "-r", copied, "--steps", 0, "--set", "lrr=1", code=2).stderr
    assert "`steps` = `0`" in stderr
    assert "`lrr` is not a setting of `semi`, did you mean `lr`?" in stderr


@pytest.mark.parametrize("name", COMMANDS[2:8])
def test_a_missing_run_exits_3_and_says_how_to_start_one(spice: Spice, name: str) -> None:
    assert "spice pretrain digits" in spice(name, code=3).stderr
    assert "spice pretrain digits" in spice(name, "-r", "nowhere", code=3).stderr


def test_a_missing_path_exits_3(spice: Spice) -> None:
    assert "pictures` does not exist" in spice("run", "./pictures", code=3).stderr


def test_every_data_set_has_a_phrase_and_no_torch_is_needed_for_it(spice: Spice) -> None:
    from spice_cli.catalog import DATASETS
    from spice_cli.commands.datasets import ABOUT

    assert list(ABOUT) == list(DATASETS)
    assert not any(phrase.startswith("Return") for phrase in ABOUT.values())
    code = (
        "import sys; from typer.testing import CliRunner; from spice_cli.cli import app; "
        "CliRunner().invoke(app, ['datasets']); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_datasets_and_recipes_are_data(spice: Spice) -> None:
    lines = spice("datasets").stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == list(DATASETS)
    assert "digits" in json.loads(spice("recipes", "--json").stdout)
    assert spice("recipes", "digits").stdout.startswith("# Handwritten digits")
    assert json.loads(spice("recipes", "digits", "--json").stdout)["data"] == {"name": "digits"}
