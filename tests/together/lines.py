"""Run command lines one after another, alone or as one of the processes that torchrun started.

python lines.py LINES.json
"""

import json
import sys
from pathlib import Path

from spice_cli.cli import app
from spice_cli.commands.devices import together


def work(lines: list[list[str]]) -> None:
    """Run them all; the first that fails is the last."""
    for line in lines:
        try:
            app(line, prog_name="spice")
        except SystemExit as stop:
            if stop.code:
                raise
    raise SystemExit(0)


if __name__ == "__main__":
    together(lambda: work(json.loads(Path(sys.argv[1]).read_text())))
