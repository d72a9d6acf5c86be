"""Where a run's features come from, and whether labels trained them."""

from pathlib import Path

from pydantic import ValidationError

from spice_cli.config.frozen import Frozen
from spice_cli.run.manifest import Manifest, Record, Stage
from spice_cli.run.store import Run

METHODS = {
    "byol": "BYOL",
    "cc": "CC",
    "moco": "MoCo",
    "pcl": "PCL",
    "propos": "ProPos",
    "simclr": "SimCLR",
    "simsiam": "SimSiam",
}
"""As their authors write them."""


class _Known(Frozen):
    title: str
    trained: str


def origin(run: Run) -> str:
    """Say it in one phrase, as in `features: SimCLR from scratch on these images, no labels`."""
    clustered = run.manifest.stages.get(Stage.SELF_LABEL)
    spaces = clustered.config.get("spaces") if clustered else None
    names = [Path(str(each.get("name"))).name for each in _tables(spaces)]
    further = f"; beside them those of {', '.join(f'`{name}`' for name in names)}" if names else ""
    return _own(run) + further


def _own(run: Run) -> str:
    embedded = run.manifest.stages.get(Stage.EMBED)
    trained = run.manifest.stages.get(Stage.PRETRAIN)
    if embedded is not None and embedded.imported:
        return f"features: {_file(embedded)}, whether labels trained them is unknown"
    if trained is None:
        return "features: none yet"
    if known := _pretrained(trained):
        return f"features: {known.title}, {known.trained}"
    if trained.imported:
        return f"features: weights in {_file(trained)}, whether labels trained them is unknown"
    method = str(trained.config.get("method"))
    return f"features: {METHODS.get(method, method)} from scratch on these images, no labels"


def network_of(manifest: Manifest) -> str | None:
    """Return the name of the network that others trained; none where it was trained here."""
    record = manifest.stages.get(Stage.PRETRAIN)
    if record is None or _pretrained(record) is None:
        return None
    return str(record.config["backbone"])


def _pretrained(record: Record) -> _Known | None:
    settings = record.config.get("settings")
    if not record.imported or not isinstance(settings, dict):
        return None
    try:
        return _Known.model_validate({key: settings.get(key) for key in _Known.model_fields})
    except ValidationError:
        return None


def _tables(value: object) -> list[dict[str, object]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _file(record: Record) -> str:
    source = record.config.get("from")
    name = source.get("name") if isinstance(source, dict) else source
    return f"`{Path(str(name)).name}`" if name else "a file"
