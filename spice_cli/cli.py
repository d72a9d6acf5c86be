"""The `spice` command: one subcommand per stage, and the one place where errors end."""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from spice_cli import __version__
from spice_cli.commands.ask import ask
from spice_cli.commands.check import check
from spice_cli.commands.clusters import clusters
from spice_cli.commands.compare import compare
from spice_cli.commands.datasets import datasets
from spice_cli.commands.devices import together
from spice_cli.commands.embed import embed
from spice_cli.commands.evaluate import evaluate
from spice_cli.commands.export import export
from spice_cli.commands.import_ import import_
from spice_cli.commands.merge import merge
from spice_cli.commands.name import name
from spice_cli.commands.predict import predict
from spice_cli.commands.pretrain import pretrain
from spice_cli.commands.recipes import recipes
from spice_cli.commands.reference import reference
from spice_cli.commands.report import report
from spice_cli.commands.run import run
from spice_cli.commands.select_reliable import select_reliable
from spice_cli.commands.self_label import self_label
from spice_cli.commands.semi import semi
from spice_cli.commands.split import split
from spice_cli.commands.spread import SpreadCommand
from spice_cli.commands.status import status
from spice_cli.console import emit
from spice_cli.stopping import explained, stoppable
from spice_cli.streams import flush, open_streams, silence


class SpiceGroup(TyperGroup):
    """Every command ends within `explained`."""

    def make_context(self, *args: Any, **more: Any) -> Any:
        """Parse the command line."""
        with explained(), stoppable():
            return super().make_context(*args, **more)

    def invoke(self, ctx: Any) -> Any:
        """Run the subcommand."""
        with explained(), stoppable():
            result = super().invoke(ctx)
            flush()
        return result


app = typer.Typer(
    name="spice",
    cls=SpiceGroup,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the app; a closed pipe behind it ends it quietly."""
    open_streams()
    try:
        together(lambda: app(prog_name="spice"))
    except BrokenPipeError:
        silence()
        raise SystemExit(1) from None


def _version(value: bool) -> None:
    if value:
        emit(__version__)
        raise typer.Exit


@app.callback()
def spice(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Cluster images without labels, one stage at a time."""


app.command(rich_help_panel="Everything")(run)
app.command(rich_help_panel="Stages")(pretrain)
app.command("import", rich_help_panel="Stages")(import_)
app.command(rich_help_panel="Stages")(embed)
app.command("self-label", rich_help_panel="Stages")(self_label)
app.command("select-reliable", rich_help_panel="Stages")(select_reliable)
app.command(rich_help_panel="Stages")(semi)
app.command(rich_help_panel="Results")(clusters)
app.command(rich_help_panel="Results", cls=SpreadCommand)(evaluate)
app.command(rich_help_panel="Results")(compare)
app.command(rich_help_panel="Results")(report)
app.command(rich_help_panel="Results")(name)
app.command(rich_help_panel="Results")(merge)
app.command(rich_help_panel="Results")(split)
app.command(rich_help_panel="Results")(ask)
app.command(rich_help_panel="Results")(predict)
app.command(rich_help_panel="Results")(export)
app.command(rich_help_panel="Results")(status)
app.command(rich_help_panel="What there is")(check)
app.command(rich_help_panel="What there is")(datasets)
app.command(rich_help_panel="What there is")(recipes)
app.command(hidden=True)(reference)
