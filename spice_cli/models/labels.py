"""Whether labels trained a network, as far as the name of its weights tells."""

import re

SUPERVISED, ALONE, CAPTIONS, UNKNOWN = (
    "trained on labels",
    "trained without labels",
    "trained on captions of images",
    "whether labels trained it is unknown",
)
IMAGENET = "trained on ImageNet's labels"
WORDS = {
    ALONE: r"dino|dinov\d|lvd\d+m|sat\d+m|mae|fcmae|ijepa|seer|moco|simclr|swav|byol",
    CAPTIONS: r"openai|laion\w*|webli|datacomp\w*|dfn\w+|metaclip\w*|yfcc15m|cc12m|merged2b|"
    r"clip|siglip",
    IMAGENET: r"in1k|in12k|in21k|in22k|imagenet\w*",
}
"""Of a tag such as `fcmae_ft_in22k_in1k`, without fine-tuning; the first that fits counts."""


def trained(tag: str) -> str:
    """Say on what weights with such a tag were trained, so as to follow the network's name.

    What was tuned on labels in the end counts as trained on them.
    """
    words = re.split(r"[^a-z0-9]+", tag.lower())
    if {"ft", "lc"} & set(words):
        return IMAGENET if _any(WORDS[IMAGENET], words) else SUPERVISED
    return next((said for said, known in WORDS.items() if _any(known, words)), UNKNOWN)


def _any(pattern: str, words: list[str]) -> bool:
    return any(re.fullmatch(pattern, word) for word in words)
