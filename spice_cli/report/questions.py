"""Questions of a report: images that a person may put in a cluster, and take the answers away."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Ask:
    """An image, and the clusters that it may be in, the likeliest first."""

    path: str
    key: str
    """What names the image in a file of answers."""
    picture: int
    """Its place in the gallery."""
    options: Sequence[tuple[int, float]]
    """Clusters, and how likely each is by now."""


@dataclass(frozen=True)
class Questions:
    """What a report asks."""

    asked: Sequence[Ask]
    clusters: Sequence[tuple[int, str]]
    """All that may be answered, each with its name or nothing."""
    note: str
    """Why nothing is asked; empty where something is."""
    command: str
    """What makes the answers into clusters."""


def facts(questions: Questions) -> dict[str, Any]:
    """Return them as the page's script reads them."""
    return {
        "asked": [
            {
                "path": each.path,
                "key": each.key,
                "picture": each.picture,
                "options": [[cluster, round(share, 4)] for cluster, share in each.options],
            }
            for each in questions.asked
        ],
        "clusters": [list(each) for each in questions.clusters],
    }


def told(questions: Questions) -> str:
    """Say how to answer, and what to do with the answers."""
    return (
        "Which cluster does the image belong to? Press a button or the key on it: answers "
        "about these images teach most. All that goes into a new cluster goes into the same one. "
        "Answers stay on this page until you download them; then "
        f"`{questions.command}` mends the clusters by them."
    )
