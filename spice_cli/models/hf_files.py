"""What lies beside weights from the Hugging Face hub: the architecture and the preprocessing."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spice_cli.errors import InvalidError, MissingError

CONFIG, PROCESSOR = "config.json", "preprocessor_config.json"


def side_of(processor: Mapping[str, Any], image_size: int) -> int:
    """Return the side that the image processor crops or resizes to."""
    for key in ("crop_size", "size"):
        size = processor.get(key)
        if isinstance(size, int):
            return size
        if isinstance(size, dict) and (side := size.get("height") or size.get("shortest_edge")):
            return int(side)
    return int(image_size)


def read_settings(file: Path) -> dict[str, Any]:
    """Read a JSON table; MissingError without the file, InvalidError where it is none."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingError(
            f"there is no `{file.name}` beside the weights",
            hint=f"put `{CONFIG}` and `{PROCESSOR}` of the same network into `{file.parent}`",
        ) from None
    except (OSError, ValueError) as error:
        raise InvalidError(f"`{file}` cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise InvalidError(f"`{file}` is not a table of settings")
    return found
