"""A setting that was picked, and what it is picked from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from spice_cli.stages.pace import Pace

PRETRAINING, SEMI = 0.6, 0.2
"""Shares of the time."""
TINY, SMALL = 16, 48
"""Sides in pixels: of digits and icons; of CIFAR."""


@dataclass(frozen=True)
class Known:
    """What settings are picked from."""

    images: int
    """To be trained on."""
    side: int
    """In pixels."""
    clusters: int | None
    """None: not known yet."""
    gray: bool
    """Whether all images are grey."""
    trained: bool
    """Whether others trained the backbone."""
    backbone: str | None
    """One that was asked for."""
    cuda: bool
    minutes: float


@dataclass(frozen=True)
class Choice:
    """One setting, and why."""

    stage: str
    values: dict[str, JsonValue]
    why: str


Measure = Callable[[dict[str, JsonValue]], Pace]
"""How fast a `pretrain` of these settings is on this machine."""


def sections(choices: list[Choice]) -> dict[str, dict[str, JsonValue]]:
    """Gather choices as the sections of a recipe."""
    out: dict[str, dict[str, Any]] = {}
    for choice in choices:
        for key, value in choice.values.items():
            place = out.setdefault(choice.stage, {})
            *above, last = key.split(".")
            for name in above:
                place = place.setdefault(name, {})
            place[last] = value
    return out
