"""How results of several runs are spelled: for people by `str`, for programs as here."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spice_cli.stages.family import Repeated


def tabbed(found: Mapping[str, Any]) -> str:
    """Spell mean, deviation (empty for one run) and n of what `as_json` returns, with tabs."""
    deviation = "" if found["deviation"] is None else found["deviation"]
    return f"{found['mean']}\t{deviation}\t{found['n']}"


def as_json(found: "Repeated") -> dict[str, Any]:
    """Spell mean, deviation, n and the values."""
    return {
        "mean": found.mean,
        "deviation": found.deviation,
        "n": len(found.values),
        "values": list(found.values),
    }


def seeds_of(seeds: tuple[int, ...]) -> str:
    """Spell seeds as in `0-4` or `0,2`."""
    if len(seeds) > 2 and seeds == tuple(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]}-{seeds[-1]}"
    return ",".join(map(str, seeds))
