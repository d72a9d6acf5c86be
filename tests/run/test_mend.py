import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from spice_cli.run.manifest import Record, Stage
from spice_cli.run.mend import command
from spice_cli.run.store import Run

HARM = ["; touch PWNED #", "$(touch PWNED)", "`touch PWNED`", "a' ; touch PWNED '", "\ntouch PWNED"]


def spelled(run: Run, stage: Stage, path: Path | None = None, **changes: Any) -> str:
    record = Record.model_validate(run.record(stage).model_dump() | {"imported": True} | changes)
    stages = {**run.manifest.stages, stage: record}
    manifest = run.manifest.model_copy(update={"stages": stages})
    return command(path or run.path, manifest, stage, force=True)


def test_flags_of_a_network_are_those_that_made_it(whole: Run) -> None:
    for flags in ("--backbone photos", "--backbone timm/x --weights '/a b/c.pth'"):
        said = spelled(whole, Stage.EMBED, config={"from": {"name": "c.pth", "flags": flags}})
        assert said == f"spice embed {flags} --force -r {shlex.quote(str(whole.path))}"


@pytest.mark.parametrize("text", HARM)
def test_nothing_that_is_pasted_runs_what_a_manifest_says(
    whole: Run, tmp_path: Path, text: str
) -> None:
    said = [
        spelled(whole, Stage.EMBED, config={"from": {"flags": text}}),
        spelled(whole, Stage.EMBED, config={"from": {"flags": f"--backbone x {text}"}}),
        spelled(whole, Stage.EMBED, config={"from": {"flags": f"--backbone {shlex.quote(text)}"}}),
        spelled(whole, Stage.EMBED, config={"from": {"name": text}}),
        spelled(whole, Stage.EMBED, config={"from": text}),
        spelled(whole, Stage.EMBED, asked={text: {text: text}}),
        spelled(whole, Stage.EMBED, path=tmp_path / text.replace("/", "")),
        spelled(whole, Stage.SEMI, config={"from": {"members": {text: "0" * 64}}}),
    ]
    for line in said:
        subprocess.run(["sh", "-c", f"spice() {{ :; }}; {line}"], cwd=tmp_path, check=True)
    assert not (tmp_path / "PWNED").exists()


@pytest.mark.parametrize("flags", ["--run /else", "--backbone", "--weights -x", "a 'b", 7, None])
def test_flags_of_no_network_are_left_out(whole: Run, flags: object) -> None:
    said = spelled(whole, Stage.EMBED, config={"from": {"flags": flags}})
    assert said == f"spice embed --force -r {shlex.quote(str(whole.path))}"
