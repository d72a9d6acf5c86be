import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from spice_cli.cli import app

Spice = Callable[..., Any]
PAGE = Path(__file__).parent.parent / "docs" / "cli.md"
GROUP: Any = typer.main.get_command(app)
COMMANDS = {name: each for name, each in GROUP.commands.items() if not each.hidden}


def section(name: str) -> str:
    text = PAGE.read_text(encoding="utf-8")
    found = re.search(rf"^### `spice {name}`$(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"`spice {name}` is not in docs/cli.md"
    return found[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_in_the_reference(name: str) -> None:
    text = section(name)
    assert COMMANDS[name].help in text
    for param in COMMANDS[name].params:
        names = param.opts if param.param_type_name == "option" else [param.metavar or param.name]
        assert all(re.search(rf"^- .*{re.escape(each)}\b", text, re.MULTILINE) for each in names)


def test_the_reference_is_what_the_program_would_write(spice: Spice) -> None:
    assert PAGE.read_text(encoding="utf-8") == spice("reference").stdout, (
        "run `spice reference > docs/cli.md`"
    )
