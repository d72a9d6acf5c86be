from typing import Any

import pytest

from benchmarks.cifar10_gpu import GOALS, PARTS, parse, plan, summary
from spice_cli.catalog import STAGES
from spice_cli.commands.pipeline import by_stage
from spice_cli.settings.configs import stage_config
from spice_cli.settings.recipes import read_recipe

COMMON = ["images", "--reliable", "labels.npy", "--test", "test.parquet"]


def sets(arguments: tuple[str, ...]) -> list[str]:
    return [b for a, b in zip(arguments, arguments[1:], strict=False) if a == "--set"]


@pytest.mark.parametrize("more", [[], ["--tiny"], ["--set", "simclr", "epochs=3"]])
def test_every_setting_of_every_step_is_one_that_the_program_knows(more: list[str]) -> None:
    for step in plan(parse([*COMMON, *more])):
        command, given = step.arguments[0], sets(step.arguments)
        if command == "run":
            recipe = read_recipe("cifar10")
            for stage, own in by_stage(given).items():
                stage_config(stage, recipe.get(stage), {}, own)
        elif command in STAGES:
            stage_config(command, None, {}, given)


def test_parts_are_chosen_and_a_later_setting_wins() -> None:
    steps = plan(parse([*COMMON, "--parts", "simclr", "--set", "simclr", "epochs=3"]))
    assert {step.part for step in steps} == {"simclr"}
    config = stage_config("pretrain", None, {}, sets(steps[0].arguments))
    assert config.epochs == 3
    assert "--test" in steps[0].arguments


def test_the_whole_protocol_leaves_the_split_of_the_folder_alone() -> None:
    (step,) = plan(parse([*COMMON, "--parts", "whole"]))
    assert "--test" not in step.arguments


@pytest.mark.parametrize("wrong", [["images"], ["images", "--set", "other", "epochs=1"]])
def test_a_wrong_command_line_is_refused(wrong: list[str]) -> None:
    with pytest.raises(SystemExit):
        parse(wrong)


def test_the_table_compares_finished_parts_with_their_goals() -> None:
    steps = plan(parse(COMMON))
    records: dict[str, Any] = {
        step.key: {"done": True, "seconds": 60.0} for step in steps if step.part != "whole"
    }
    records["simclr/scores"]["scores"] = {"acc": 0.5, "knn": 0.86}
    records["semi/scores"]["scores"] = {"acc": 0.9, "nmi": 0.86, "ari": 0.84}
    rows = summary(steps, records)
    assert ("simclr", "minutes", "2", "8: yes") in rows  # scoring and copying labels do not count
    assert ("simclr", "embed knn", "0.86", "0.85: yes") in rows
    assert ("simclr", "embed acc", "0.5", "") in rows
    assert ("semi", "minutes", "1", "5: yes") in rows
    assert ("semi", "semi acc", "0.9", "0.918: no") in rows
    assert not any(row[0] == "whole" for row in rows)
    assert set(GOALS) == set(PARTS)
