"""The command that makes a stage anew, to be pasted."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from spice_cli.run import files
from spice_cli.run.manifest import Manifest, Stage


def command(run: Path, manifest: Manifest, stage: Stage, *, force: bool = False) -> str:
    """Spell what makes a stage anew, from what it was made of the last time."""
    shown = files.quoted(run)
    if stage is Stage.ASK:
        return f"spice ask --apply -r {shown}"
    record = manifest.stages.get(stage)
    if record and (family := record.family):
        split = " --protocol split" if manifest.data.protocol == "split" else ""
        where = files.quoted(run.parent)
        data = shlex.quote(manifest.data.name)
        seeds = f"--seeds {len(family.members)} --seed {record.seed}"
        return f"spice run {data} {seeds}{split} -r {where}"
    made_of = record.config.get("from") if record and record.imported else None
    if isinstance(made_of, dict) and (network := _network(made_of.get("flags"))):
        return f"spice embed {network}{' --force' if force else ''} -r {shown}"
    name = made_of.get("name") if isinstance(made_of, dict) else made_of
    source = f" --from {shlex.quote(str(name))}" if name else ""
    asked = record.asked if record else {}
    flags = "".join(f" --set {shlex.quote(text)}" for text in _flat(asked))
    return f"spice {stage}{source}{flags}{' --force' if force else ''} -r {shown}"


def beginning(run: Path, manifest: Manifest) -> str:
    """Spell what takes a run of images on from its very beginning."""
    data, spec = manifest.data, manifest.data.spec
    flags = " --protocol split" if data.protocol == "split" else ""
    flags += f" --test {shlex.quote(spec.test)}" if spec and spec.test else ""
    flags += "" if data.classes else " --clusters auto"
    return f"spice run {shlex.quote(data.name)}{flags} -r {files.quoted(run)}"


def _network(flags: JsonValue) -> str:
    """Spell the flags that name a network and its weights, each word quoted; none where others."""
    try:
        words = shlex.split(flags) if isinstance(flags, str) else []
    except ValueError:
        return ""
    names, values = words[::2], words[1::2]
    known = len(names) == len(values) and set(names) <= {"--backbone", "--weights"}
    plain = not any(value.startswith("-") for value in values)
    return shlex.join(words) if known and plain else ""


def _flat(settings: Mapping[str, JsonValue], prefix: str = "") -> list[str]:
    """Spell nested settings as `key.key=value`."""
    out: list[str] = []
    for key, value in settings.items():
        if isinstance(value, dict):
            out += _flat(value, f"{prefix}{key}.")
        else:
            out.append(f"{prefix}{key}={value if isinstance(value, str) else json.dumps(value)}")
    return out
