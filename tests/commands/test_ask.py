import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.answers import FILE

Spice = Callable[..., Any]
TRUTH = torch.arange(4).repeat_interleave(30)


def asked(run: Path) -> torch.Tensor:
    return Run.open(run).read(Stage.ASK, "probs")["probs"].argmax(1)


def lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / FILE).read_text().splitlines()]


def test_questions_are_listed_with_options_and_prototypes(clustered: Path, spice: Spice) -> None:
    found = spice("ask", "--list", "--questions", 5, "-r", clustered).stdout.splitlines()
    first = json.loads(found[0])
    assert len({json.loads(line)["row"] for line in found}) == 5
    assert first["row"] >= 90
    assert first["options"][0]["cluster"] == 1
    assert len(first["options"][0]["prototypes"]) == 3
    for question in map(json.loads, found):
        assert all(question["path"] not in each["prototypes"] for each in question["options"])
    assert not (clustered / FILE).exists()


def test_one_answer_typed_moves_the_whole_mode(clustered: Path, spice: Spice) -> None:
    result = spice("ask", "--questions", 1, "-r", clustered, input="+\n")
    assert result.stdout == f"{clustered}\n"
    assert "which of these clusters" in result.stderr
    found = asked(clustered)
    assert lines(clustered)[0]["cluster"] == 4
    assert torch.equal(found, torch.tensor([0, 1, 2, 4])[TRUTH])
    status = json.loads(spice("status", "--json", "-r", clustered).stdout)
    assert (status["ask"], status["self-label"]) == ("done", "done")
    assert "ask" in spice("evaluate", "-r", clustered).stderr


def test_keys_are_none_skip_names_and_stop(clustered: Path, spice: Spice) -> None:
    spice("name", 2, "two", "-r", clustered)
    typed = "n\ns\nnonsense\n99\ntwo\n0\nq\n"
    result = spice("ask", "-r", clustered, input=typed)
    said = [(each["cluster"], each["none_of"]) for each in lines(clustered)]
    assert said[0][0] is None
    assert said[0][1]
    assert said[1:] == [(None, []), (2, []), (0, [])]
    assert "3 answers" in result.stderr
    assert len({each["row"] for each in lines(clustered)}) == 4
    assert asked(clustered)[lines(clustered)[2]["row"]] == 2
    assert asked(clustered)[lines(clustered)[0]["row"]] not in said[0][1]
    assert spice("name", "-r", clustered).stdout == "2\ttwo\n"


def test_the_end_of_the_input_stops_and_answers_add_up(clustered: Path, spice: Spice) -> None:
    spice("ask", "-r", clustered, input="3\n+\n")
    assert len(lines(clustered)) == 1
    spice("ask", "-r", clustered, input="1\n")
    rows = [each["row"] for each in lines(clustered)]
    assert len(set(rows)) == len(rows) == 2


def test_stopping_at_once_is_no_result(clustered: Path, spice: Spice) -> None:
    assert "no answers yet" in spice("ask", "-r", clustered, input="q\n", code=2).stderr
    assert "no answers yet" in spice("ask", "--apply", "-r", clustered, code=2).stderr


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_answers_come_from_a_file(clustered: Path, spice: Spice, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    csv = "path,cluster\nrow 95,+\n5,0\nrow 6,\n"
    jsonl = '{"path": "row 95", "cluster": "+"}\n{"path": "5", "cluster": 0}\n'
    file.write_text(csv if name == "a.csv" else jsonl)
    spice("ask", "--answers", file, "-r", clustered)
    assert asked(clustered)[[95, 100, 5]].tolist() == [4, 4, 0]
    assert len(lines(clustered)) == 2


def test_wrong_answers_in_a_file_are_told_together_and_none_is_kept(
    clustered: Path, spice: Spice, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("path,cluster\nrow 1,0\nrow 999,0\nrow 2,seven\n")
    error = spice("ask", "--answers", tmp_path / "a.csv", "-r", clustered, code=4).stderr
    assert "`row 999` is not a training image" in error
    assert "no cluster `seven`" in error
    assert not (clustered / FILE).exists()


def test_applying_again_is_up_to_date_and_gives_the_same_bytes(
    clustered: Path, spice: Spice
) -> None:
    spice("ask", "-q", 1, "-r", clustered, input="+\n")
    before = (clustered / "ask.safetensors").read_bytes()
    assert "is up to date" in spice("ask", "--apply", "-r", clustered).stderr
    (clustered / "ask.safetensors").unlink()
    spice("ask", "--apply", "-r", clustered)
    assert (clustered / "ask.safetensors").read_bytes() == before


def test_merges_are_heeded_and_outlive_further_answers(clustered: Path, spice: Spice) -> None:
    spice("merge", 0, 2, "-r", clustered)
    spice("name", 0, "both", "-r", clustered)
    spice("ask", "-q", 1, "-r", clustered, input="+\n")
    assert "after 1 merge" in spice("evaluate", "-r", clustered).stderr
    spice("merge", 1, 4, "-r", clustered)
    spice("ask", "-q", 1, "-r", clustered, input="1\n")
    assert "after 2 merges" in spice("evaluate", "-r", clustered).stderr
    assert spice("name", "-r", clustered).stdout == "0\tboth\n"


def test_answers_that_agree_change_nothing_whatever_was_merged_and_split(
    clustered: Path, spice: Spice, tmp_path: Path
) -> None:
    spice("merge", 0, 2, "-r", clustered)
    spice("split", 1, "--parts", 2, "-r", clustered)
    before = spice("export", "--to", "csv", "-r", clustered, "--output", tmp_path / "a.csv")
    shown = [line.split(",") for line in (tmp_path / "a.csv").read_text().splitlines()]
    place = shown[0].index("cluster")
    rows = [0, 35, 70, 95, 110]
    said = "".join(f"row {row},{shown[row + 1][place]}\n" for row in rows)
    (tmp_path / "answers.csv").write_text("path,cluster\n" + said)
    assert before.exit_code == 0
    told = spice("ask", "--answers", tmp_path / "answers.csv", "-r", clustered).stderr
    assert "5 answers moved 0 of 120" in told
    spice("export", "--to", "csv", "-r", clustered, "--output", tmp_path / "b.csv")
    after = [line.split(",") for line in (tmp_path / "b.csv").read_text().splitlines()]
    assert [line[place] for line in after] == [line[place] for line in shown]


def test_answers_about_an_older_result_are_left_out(clustered: Path, spice: Spice) -> None:
    spice("ask", "-q", 1, "-r", clustered, input="+\n")
    run = Run.open(clustered)
    record = run.record(Stage.SELF_LABEL)
    run.write(
        Stage.SELF_LABEL,
        {"probs": run.read(Stage.SELF_LABEL)["probs"].flip(1)},
        config={},
        inputs=record.inputs,
        seed=0,
        environment=record.environment,
        seconds=0,
        imported=True,
    )
    stale = spice("evaluate", "-r", clustered, code=4).stderr
    assert "spice ask --apply" in stale
    error = spice("ask", "--apply", "-r", clustered, code=2).stderr
    assert "1 answers about older results are left out" in error


def test_stdin_cannot_be_both(spice: Spice) -> None:
    assert "stdin" in spice("ask", "-r", "-", code=2).stderr
    assert "only one" in spice("ask", "--list", "--apply", code=2).stderr
