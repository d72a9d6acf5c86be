"""The only module that prints: data to stdout, everything else to stderr."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape

from spice_cli.streams import flush, write
from spice_cli.track import Bar
from spice_cli.visible import field, visible


class _People(Console):
    """Stderr; what cannot be told, as on a disk that is full, is no reason to stop."""

    def print(self, *objects: Any, **how: Any) -> None:
        with suppress(OSError):
            super().print(*objects, **how)


Shown = str | tuple[str, list[str], list[list[str]]]
"""A line, or a table's title, columns and rows."""

TAB = "\t"

stderr = _People(stderr=True, highlight=False, emoji=False)


def emit(value: Any, *, as_json: bool = False) -> None:
    """Write one result to stdout: a mapping as `name<TAB>value` lines, or all of it as JSON.

    Names are cells as `field` spells them, values may be several cells. A path is one line.
    """
    if as_json:
        write(json.dumps(value) + "\n")
    elif isinstance(value, Mapping):
        for name, item in value.items():
            write(f"{field(str(name))}\t{visible(str(item), but=TAB)}\n")
    else:
        write(visible(str(value), but="" if isinstance(value, Path) else f"{TAB}\n") + "\n")


def emit_lines(lines: Iterable[str]) -> None:
    """Write lines to stdout as they are, each as soon as it is there."""
    for line in lines:
        write(f"{line}\n")
        flush()


def emit_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write rows to stdout in columns, for people to read."""
    table = [list(columns), *([visible(cell) for cell in row] for row in rows)]
    widths = [max(map(len, cells)) for cells in zip(*table, strict=True)]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        write("  ".join(cells).rstrip() + "\n")


def say(message: str) -> None:
    """Tell the person at the terminal what happened."""
    stderr.print(visible(message), markup=False, soft_wrap=True)


def prompt(text: str, stream: TextIO) -> str | None:
    """Ask the person at the terminal for a line of `stream`; None where it has ended."""
    stderr.print(visible(text), end="", markup=False)
    line = stream.readline()
    return line.rstrip("\r\n") if line else None


def warn(message: str) -> None:
    """Tell the person at the terminal what is likely to go wrong."""
    stderr.print(f"[bold yellow]warning:[/] {_plain(message)}", soft_wrap=True)


def fail(message: str, hint: str = "") -> None:
    """Explain a failure and, if there is one, the way out."""
    stderr.print(f"[bold red]error:[/] {_plain(message)}", soft_wrap=True)
    if hint:
        stderr.print(f"\n[bold cyan]hint:[/] {_plain(hint)}", soft_wrap=True)


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Show people a table, whole; on a terminal too narrow in parts that begin with column one."""
    say(title)
    told = [[visible(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(map(cell_len, cells)) for cells in zip(*told, strict=True)]
    room = stderr.width if stderr.is_terminal else sum(widths) + len(widths)
    for part in fitting(widths, room):
        _table([[row[position] for position in part] for row in told])


def fitting(widths: Sequence[int], room: int) -> list[list[int]]:
    """Return the columns of each part of a table; each begins with the first, and fits if it can.

    Between columns is a space.
    """
    parts: list[list[int]] = [[0]]
    for position in range(1, len(widths)):
        taken = sum(widths[each] + 1 for each in parts[-1])
        if len(parts[-1]) > 1 and taken + widths[position] > room:
            parts.append([0])
        parts[-1].append(position)
    return parts


def _table(told: Sequence[Sequence[str]]) -> None:
    from rich.measure import Measurement
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for position, column in enumerate(told[0]):
        table.add_column(escape(column), justify="left" if position == 0 else "right", no_wrap=True)
    for row in told[1:]:
        table.add_row(*map(escape, row))
    roomy = stderr.options.update(width=10_000)
    table.width = Measurement.get(stderr, roomy, table).maximum
    stderr.print(table, soft_wrap=True, crop=False)


def _plain(text: str) -> str:
    return escape(visible(text))


def present(shown: Iterable[Shown]) -> None:
    """Show people lines and tables."""
    for each in shown:
        if isinstance(each, str):
            say(each)
        else:
            show(*each)


class Terminal:
    """The `Track` of the command line: bars on a terminal, one plain line an epoch elsewhere."""

    say = staticmethod(say)
    warn = staticmethod(warn)

    @contextmanager
    def bar(self, title: str, total: int, *, done: int = 0, unit: str = "images") -> Iterator[Bar]:
        """Show progress towards `total`, with `unit` per second and the time left."""
        if not stderr.is_terminal:
            yield _Plain(title)
            return
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=14),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[speed]:>14}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[caption]}", style="dim"),
        )
        with Progress(*columns, console=stderr, transient=True) as progress:
            task = progress.add_task(
                _plain(title), total=total, completed=done, caption="", speed=""
            )
            yield _Rich(progress, task, unit)


class _Plain:
    def __init__(self, title: str) -> None:
        self.title = title

    def advance(self, images: int) -> None:
        pass

    def line(self, text: str, more: str = "") -> None:
        say(f"{self.title}  {text}  {more}".rstrip())


class _Rich:
    def __init__(self, progress: Any, task: Any, unit: str) -> None:
        self.progress, self.task, self.unit = progress, task, unit
        self.started, self.done = time.monotonic(), 0

    def advance(self, images: int) -> None:
        self.done += images
        speed = self.done / max(time.monotonic() - self.started, 1e-9)
        self.progress.update(self.task, advance=images, speed=f"{speed:,.0f} {self.unit}/s")

    def line(self, text: str, more: str = "") -> None:
        self.progress.update(self.task, caption=_plain(text))
