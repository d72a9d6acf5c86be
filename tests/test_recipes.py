import re
import tomllib

import pytest

from spice_cli.catalog import DATASETS
from spice_cli.config.sections import SECTIONS
from spice_cli.published import published
from spice_cli.settings.configs import CHOICES, data_spec, stage_config
from spice_cli.settings.recipes import read_recipe, recipe_file, recipe_names

RECIPES = recipe_names()
DATA = sorted(DATASETS, key=len, reverse=True)
BASELINES = ("propos", "cc", "moco", "byol", "simsiam", "pcl", "scan")


def data_of(recipe: str) -> str:
    return next(name for name in DATA if f"{recipe}-".startswith(f"{name}-"))


@pytest.mark.parametrize("name", RECIPES)
def test_every_setting_exists_and_every_method_is_in_the_catalogue(name: str) -> None:
    sections = read_recipe(name)
    spec = data_spec(sections["data"], {})
    assert spec.name == data_of(name)
    for stage in SECTIONS:
        config = stage_config(stage, sections.get(stage), {})
        for key, known in CHOICES[stage].items():
            assert getattr(config, key) in {None, *known}


@pytest.mark.parametrize("name", RECIPES)
def test_the_first_line_tells_what_it_is_and_the_header_where_numbers_are_from(name: str) -> None:
    lines = recipe_file(name).read_text(encoding="utf-8").splitlines()
    assert re.fullmatch(r"# [A-Z].{20,115}", lines[0])
    header = " ".join(line.lstrip("# ") for line in lines[: lines.index("")])
    assert "Sources: " in header or "Every number is ours" in header


@pytest.mark.parametrize("name", RECIPES)
def test_a_line_to_paste_names_the_recipe_it_stands_in(name: str) -> None:
    text = recipe_file(name).read_text(encoding="utf-8")
    assert set(re.findall(r"^# spice run (\S+)", text, re.MULTILINE)) <= {name}


@pytest.mark.parametrize("name", [n for n in RECIPES if "kmeans" in recipe_file(n).read_text()])
def test_k_means_takes_what_the_method_leaves(name: str) -> None:
    sections = read_recipe(name)
    features = {"cc": "head"}.get(str(sections["pretrain"]["method"]), "projections")
    assert sections["self-label"]["features"] == features


def test_every_published_number_of_a_method_of_ours_has_a_recipe() -> None:
    methods = {**{name: name for name in BASELINES}, "scan-loss": "scan"}
    wanted = {
        row.data if row.method.startswith("spice") else f"{row.data}-{methods[row.method]}"
        for row in published()
        if row.method in methods or row.method.startswith("spice")
    }
    assert wanted <= set(RECIPES)
    spice = {row.data for row in published() if row.method in ("spice", "spice-self")}
    assert {f"{data}-paper" for data in spice} <= set(RECIPES)


def test_every_data_set_has_a_recipe_of_its_name() -> None:
    assert set(DATASETS) <= set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_sets_nothing_twice(name: str) -> None:
    sections = tomllib.loads(recipe_file(name).read_text(encoding="utf-8"))
    assert set(sections) <= {"until", "data", *SECTIONS}
