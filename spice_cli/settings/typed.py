"""Settings as a person typed them: flags, and `--set key=value`."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from spice_cli.errors import UsageError


def asked(flags: Mapping[str, Any], sets: Iterable[str] = ()) -> dict[str, Any]:
    """Return the settings that flags and `--set` gave, nested as a recipe's section is."""
    values = only_given(flags)
    for text in sets:
        key, equals, value = text.partition("=")
        if not equals or not all(key.split(".")):
            raise UsageError(f"`--set {text}` is not `key=value`", hint="--set lr=0.03")
        values = merge(values, _nested(key.split("."), _parse(value)))
    return values


def only_given(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the flags that were given."""
    return {key: value for key, value in flags.items() if value is not None}


def merge(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested settings in which those of `high` go before those of `low`."""
    out = dict(low)
    for key, value in high.items():
        inner = out.get(key)
        both = isinstance(inner, Mapping) and isinstance(value, Mapping)
        out[key] = merge(inner, value) if both else value  # type: ignore[arg-type]
    return out


def _nested(keys: list[str], value: Any) -> dict[str, Any]:
    return {keys[0]: _nested(keys[1:], value) if keys[1:] else value}


def _parse(value: str) -> Any:
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value
