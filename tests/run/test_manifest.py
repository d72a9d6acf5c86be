import subprocess
import sys

import pytest
from pydantic import TypeAdapter, ValidationError

from spice_cli.run.manifest import FileName


@pytest.mark.parametrize(
    "name",
    ["../embed", "/etc/passwd", "a/b", "..", ".lock", "", "a\n", "a\\b", "-r", "~", "x" * 101],
)
def test_a_file_name_never_leads_outside_the_run(name: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(FileName).validate_python(name)


def test_the_name_of_an_artifact_is_a_file_name() -> None:
    assert TypeAdapter(FileName).validate_python("self-label.safetensors")


def test_a_run_is_opened_without_torch() -> None:
    code = "import sys, spice_cli.run.store; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
