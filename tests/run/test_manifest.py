import subprocess
import sys

import pytest
from pydantic import TypeAdapter, ValidationError

from spice_cli.run.manifest import Family, FileName, Stage
from spice_cli.run.store import Run

OUTSIDE = ["../embed", "/etc/passwd", "a/b", "..", ".", "", "a\0b", "a\n/b", "seed-0/"]


@pytest.mark.parametrize(
    "name",
    ["../embed", "/etc/passwd", "a/b", "..", ".lock", "", "a\n", "a\\b", "-r", "~", "x" * 101],
)
def test_a_file_name_never_leads_outside_the_run(name: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(FileName).validate_python(name)


def test_the_name_of_an_artifact_is_a_file_name() -> None:
    assert TypeAdapter(FileName).validate_python("self-label.safetensors")


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_member_of_a_family_never_leads_elsewhere(name: str) -> None:
    with pytest.raises(ValidationError):
        Family.model_validate({"members": {name: "0" * 64}})


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_manifest_with_such_a_member_is_refused(whole: Run, name: str) -> None:
    content = whole.manifest.model_dump(mode="json")
    content["stages"]["semi"]["config"] = {"from": {"members": {name: "0" * 64}}}
    with pytest.raises(ValidationError, match="names no runs beside it"):
        type(whole.manifest).model_validate(content)


@pytest.mark.parametrize("name", ["semi.bin", "semi.SAFETENSORS", "embed.safetensors", "run.json"])
def test_a_stage_has_the_file_that_the_program_writes(whole: Run, name: str) -> None:
    content = whole.manifest.model_dump(mode="json")
    content["stages"][Stage.SEMI]["file"] = name
    with pytest.raises(ValidationError, match="`semi` is in `semi.safetensors`"):
        type(whole.manifest).model_validate(content)


def test_a_run_is_opened_without_torch() -> None:
    code = "import sys, spice_cli.run.store; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
