"""Names of files and folders that every system takes, and that are not taken yet."""

import re
from collections.abc import Mapping

FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]')
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
LONGEST = 100
"""Bytes of a folder's name."""


def safe(name: str) -> str:
    """Spell a name so that Windows, macOS and Linux take it; empty where nothing is left of it."""
    spelt = FORBIDDEN.sub("_", name).strip().rstrip(". ").lstrip(".")
    spelt = spelt.encode()[:LONGEST].decode("utf-8", "ignore").rstrip(". ")
    return f"{spelt}_" if RESERVED.fullmatch(spelt) else spelt


def folder_names(titles: Mapping[int, str]) -> dict[int, str]:
    """Name a folder for each cluster after its title; those of one title get their numbers too."""
    taken: set[str] = set()
    out = {}
    for cluster, title in titles.items():
        name = safe(title) or f"cluster {cluster}"
        if name.lower() in taken:
            name = f"{name} ({cluster})"
        out[cluster] = unique(name, taken)
    return out


def unique(name: str, taken: set[str]) -> str:
    """Return a name that is not taken, whatever its case, and take it: `a.jpg`, `a (2).jpg`."""
    stem, dot, ending = name.rpartition(".")
    stem, ending = (stem, dot + ending) if stem else (name, "")
    found, number = name, 1
    while found.lower() in taken:
        number += 1
        found = f"{stem} ({number}){ending}"
    taken.add(found.lower())
    return found
