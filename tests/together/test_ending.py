"""A process of a group ends at once: what it said arrives, and nothing of it is taken down."""

import subprocess
import sys

import pytest

ENDING = """
import atexit
from spice_cli.commands.devices import end
atexit.register(print, "taken down")
print("said")
end({code!r})
"""


@pytest.mark.parametrize(("code", "expected"), [(None, 0), (0, 0), (3, 3), ("wrong", 1)])
def test_a_process_ends_with_its_code_and_all_it_said(code: object, expected: int) -> None:
    command = [sys.executable, "-c", ENDING.format(code=code)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == expected
    assert done.stdout == "said\n"
