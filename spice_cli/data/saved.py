"""How a Hugging Face data set that was saved to disk is known, by its names alone."""

from pathlib import Path

STATE, INFO, SPLITS = "state.json", "dataset_info.json", "dataset_dict.json"


def saved(directory: Path) -> bool:
    """Tell whether a directory is a data set, or several splits of one, that were saved to disk."""
    told = any((directory / name).is_file() for name in (STATE, INFO))
    return (directory / SPLITS).is_file() or (told and any(directory.glob("*.arrow")))
