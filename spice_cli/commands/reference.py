"""The command line as a page: `spice reference > docs/cli.md`."""

from typing import Any

import typer

from spice_cli.console import emit

HEAD = """# The command line

Written by `spice reference > docs/cli.md`; a test fails where this page is behind the program.

Results go to stdout, everything for people to stderr. Exit codes: 0 done or up to date, 1 a bug,
2 wrong usage, 3 something needed is missing, 4 something is there but wrong, 130 interrupted.
"""


def reference(context: typer.Context) -> None:
    """Print the reference of all commands and options as Markdown."""
    emit(markdown(context.find_root()))


def markdown(context: Any) -> str:
    """Render every visible command of the app whose context this is."""
    group: Any = context.command
    parts = [HEAD, _options(context, group)]
    panels: dict[str, list[str]] = {}
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if not command.hidden:
            inner = type(context)(command, info_name=name, parent=context)
            panels.setdefault(command.rich_help_panel, []).append(_command(inner, command))
    for panel, commands in panels.items():
        parts += [f"## {panel}\n", *commands]
    return "\n".join(part for part in parts if part).rstrip()


def _command(context: Any, command: Any) -> str:
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    parts = [
        f"### `spice {context.info_name}`\n",
        f"{command.help}\n",
        f"```\n{usage}\n```\n",
        _options(context, command),
    ]
    return "\n".join(parts)


def _options(context: Any, command: Any) -> str:
    records = [each.get_help_record(context) for each in command.get_params(context)]
    lines = [f"- `{name}`: {' '.join(text.split())}" for name, text in filter(None, records)]
    return "\n".join(lines) + "\n"
