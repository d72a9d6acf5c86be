from pathlib import Path

import pytest

from spice_cli.config import SECTIONS
from spice_cli.errors import InvalidError, MissingError, UsageError
from spice_cli.settings import read_recipe, recipe_names, stage_config


def test_flags_win_over_the_recipe_and_the_recipe_over_defaults() -> None:
    config = stage_config("semi", {"steps": 7, "lr": 0.5}, {"lr": 0.25, "ratio": None})
    assert (config.steps, config.lr, config.ratio) == (7, 0.25, 7)


def test_set_reaches_into_tables_and_parses_values() -> None:
    config = stage_config(
        "pretrain", {}, {}, ["views.flip=0", "views.crop=[0.5, 1]", "method=simclr"]
    )
    assert config.views.flip == 0
    assert config.views.crop == (0.5, 1.0)
    assert config.views.hue == 0.1


def test_a_methods_own_settings_are_checked_by_the_method() -> None:
    config = stage_config("pretrain", {"method": "simclr", "temperature": 0.3}, {})
    assert config.settings["temperature"] == 0.3
    with pytest.raises(UsageError, match="`queue` is not a setting of `pretrain`"):
        stage_config("pretrain", {"method": "simclr", "queue": 3}, {})


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        stage_config("self-label", {"heds": 3}, {"epochs": 0}, ["lr=-1"])
    message = str(caught.value)
    assert "`heds` is not a setting of `self-label`, did you mean `heads`?" in message
    assert "`epochs` = `0`" in message
    assert "`lr` = `-1`" in message


@pytest.mark.parametrize("text", ["lr", "=3"])
def test_a_setting_without_a_key_or_value_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not `key=value`"):
        stage_config("semi", {}, {}, [text])


def test_the_variants_fill_in_what_code_and_paper_say() -> None:
    code = stage_config("select-reliable", {}, {})
    paper = stage_config("select-reliable", {}, {"variant": "paper"})
    assert (code.agreement, code.strict, code.confidence, code.balance) == (
        0.99,
        False,
        0.99,
        "smallest",
    )
    assert (paper.agreement, paper.strict, paper.confidence, paper.balance) == (
        0.95,
        True,
        0.0,
        "none",
    )
    assert stage_config("select-reliable", {"agreement": 0.9}, {}).agreement == 0.9
    assert stage_config("self-label", {}, {}).passes == 8
    assert stage_config("self-label", {}, {"variant": "paper"}).passes == 1


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_that_ships_is_valid(name: str) -> None:
    sections = read_recipe(name)
    for stage in SECTIONS:
        stage_config(stage, sections.get(stage), {})


def test_a_broken_recipe_is_named(tmp_path: Path) -> None:
    broken, unknown = tmp_path / "a.toml", tmp_path / "b.toml"
    broken.write_text("[pretrain\n")
    unknown.write_text("[pretain]\nepochs = 3\n")
    with pytest.raises(InvalidError, match="is not TOML"):
        read_recipe(str(broken))
    with pytest.raises(UsageError, match="did you mean `pretrain`"):
        read_recipe(str(unknown))
    with pytest.raises(MissingError):
        read_recipe(str(tmp_path / "c.toml"))
    with pytest.raises(UsageError, match="did you mean `digits`"):
        read_recipe("digit")
