from pathlib import Path

import pytest

from spice_cli.config.sections import SECTIONS
from spice_cli.errors import InvalidError, MissingError, UsageError
from spice_cli.settings.configs import stage_config
from spice_cli.settings.faults import close
from spice_cli.settings.recipes import last_stage, read_recipe, recipe_names


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


def test_a_recipes_own_settings_belong_to_its_own_method() -> None:
    recipe = {"neighbors": 10, "agreement": 0.9, "min_per_cluster": 3}
    config = stage_config("select-reliable", recipe, {"method": "adaptive"})
    assert config.min_per_cluster == 3
    assert config.settings == {"neighbors": 50, "balance": "none"}
    with pytest.raises(UsageError, match="`agrement` is not a setting"):
        stage_config("select-reliable", {"agrement": 1}, {"method": "adaptive"})
    with pytest.raises(UsageError, match="`agreement` is not a setting"):
        stage_config("select-reliable", recipe | {"method": "adaptive"}, {})


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
    keys = ("agreement", "strict", "confidence", "balance")
    assert [code.settings[key] for key in keys] == [0.99, False, 0.99, "smallest"]
    assert [paper.settings[key] for key in keys] == [0.95, True, 0.0, "none"]
    loose = stage_config("select-reliable", {"agreement": 0.9}, {})
    assert loose.settings["agreement"] == 0.9
    assert stage_config("self-label", {}, {}).settings["passes"] == 8
    assert stage_config("self-label", {}, {"variant": "paper"}).settings["passes"] == 1


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


def test_another_method_than_the_recipes_leaves_out_what_was_that_methods_own() -> None:
    recipe = {"method": "simclr", "temperature": 0.3, "epochs": 7, "dim": 5}
    said: list[str] = []
    config = stage_config("pretrain", recipe, {"method": "moco"}, ["dim=9"], said.append)
    assert (config.epochs, config.settings["temperature"], config.settings["dim"]) == (7, 0.1, 9)
    (note,) = said
    assert all(f"`{key}`" in note for key in ("temperature", "dim", "simclr", "moco"))
    assert stage_config("pretrain", recipe, {}, (), said.append).settings["dim"] == 5
    assert stage_config("pretrain", recipe, {"method": "simclr"}).settings["temperature"] == 0.3
    assert len(said) == 1


def test_epochs_and_rates_of_one_head_are_not_those_of_another() -> None:
    recipe = {"epochs": 7, "lr": 0.5, "weak": {"pad": 1}}
    config = stage_config("self-label", recipe, {"method": "scan", "heads": 3})
    assert config.model_fields_set >= {"method", "heads", "weak"}
    assert not config.model_fields_set & {"epochs", "lr"}
    assert stage_config("self-label", recipe, {}).epochs == 7


def test_a_setting_of_no_method_is_a_fault_whichever_is_asked_for() -> None:
    with pytest.raises(UsageError, match="`temprature` is not a setting of `pretrain`"):
        stage_config("pretrain", {"method": "simclr", "temprature": 1}, {"method": "moco"})


def test_a_number_of_clusters_is_no_part_of_a_pretraining_that_has_none() -> None:
    assert "clusters" not in stage_config("pretrain", {}, {}).model_dump(mode="json")
    assert stage_config("pretrain", {}, {"clusters": 7}).model_dump(mode="json")["clusters"] == 7


def test_where_a_recipe_ends_is_no_section(tmp_path: Path) -> None:
    file = tmp_path / "short.toml"
    file.write_text('until = "self-label"\n[semi]\nsteps = 3\n')
    assert read_recipe(str(file)) == {"semi": {"steps": 3}}
    assert last_stage(str(file)) == "self-label"
    assert last_stage("digits") is None
    assert last_stage("cifar10-propos") == "self-label"


def test_of_many_settings_the_nearest_is_named() -> None:
    names = [f"setting{number}" for number in range(30)] + ["open"]
    told = close("nope", names)
    assert "`open`" in told
    assert len(told) < 80
    assert close("x", ["a", "b"]) == "; there are a, b"
