"""Published results, to print beside our own: numbers, protocol and where they are from."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

TABLE = Path(__file__).with_name("published.toml")
Average = Literal["arithmetic", "geometric"]


@dataclass(frozen=True)
class Published:
    """One row of a published table. `acc`, `nmi` and `ari` are shares of 1, None if not stated."""

    data: str
    """Name in the catalogue."""
    protocol: Literal["whole", "split"]
    method: str
    """Our name where we have the method; `published.toml` says what stands for what."""
    acc: float | None
    nmi: float | None
    ari: float | None
    average: Average | None
    """Mean of the entropies in NMI, where it is known."""
    runs: Literal["best", "mean"]
    """`best`: one run, as a rule the best of several."""
    note: str
    """Backbone, image size and the like, and deviations; may be empty."""
    source: str


@cache
def published() -> tuple[Published, ...]:
    """Return all rows, those of a source together."""
    groups = tomllib.loads(TABLE.read_text(encoding="utf-8"))["group"]
    return tuple(_row(group, *row) for group in groups for row in group["rows"])


def published_for(data: str, protocol: str) -> list[Published]:
    """Return the rows of one data set under one protocol, the highest accuracy first."""
    rows = [row for row in published() if (row.data, row.protocol) == (data, protocol)]
    return sorted(rows, key=lambda row: -(row.acc or 0.0))


def _row(
    group: dict[str, str],
    data: str,
    protocol: Literal["whole", "split"],
    method: str,
    numbers: str,
    note: str = "",
) -> Published:
    acc, nmi, ari = (None if n == "-" else round(float(n) / 100, 4) for n in numbers.split("/"))
    return Published(
        data=data,
        protocol=protocol,
        method=method,
        acc=acc,
        nmi=nmi,
        ari=ari,
        average=group.get("nmi"),  # type: ignore[arg-type]
        runs=group["runs"],  # type: ignore[arg-type]
        note=note,
        source=group["source"],
    )
