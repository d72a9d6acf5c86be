from spice_cli.catalog import DATASETS, load
from spice_cli.commands.options import JsonOption
from spice_cli.console import emit


def datasets(json: JsonOption = False) -> None:
    """List the data sets that go by a name."""
    about = {name: load(entry).__doc__.splitlines()[0] for name, entry in DATASETS.items()}
    emit(about, as_json=json)
