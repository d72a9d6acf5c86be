"""Clusters of very different size: heads that keep clusters even, and told not to, as Markdown.

python -m benchmarks.longtail FOLDER --seeds 0 1 2 --ratios 10 100

Digits with as many images a class as 174 * ratio^(-i/9), i from 0 to 9: which class gets which i,
and which of its images are kept, are drawn by the seed. The true class is used to make the data
sets and by `spice evaluate`, nowhere else. Settings are the recipe's of `digits`. Runs stay in
FOLDER, and what is there is not computed again.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from sklearn.datasets import load_digits

from benchmarks.systems import Cells, collect, scores, spice, table

LARGEST, CLASSES = 174, 10
WAYS: dict[str, list[str]] = {
    "kmeans": ["--method", "kmeans"],
    "graph": ["--method", "graph"],
    "spice": ["--method", "spice"],
    "spice --balance none": ["--method", "spice", "--balance", "none"],
    "scan": ["--method", "scan", "--set", "backbone=frozen"],
    "scan --balance none": ["--method", "scan", "--set", "backbone=frozen", "--balance", "none"],
    "temi": ["--method", "temi"],
    "temi --balance none": ["--method", "temi", "--balance", "none"],
    "turtle": ["--method", "turtle"],
    "turtle --balance none": ["--method", "turtle", "--balance", "none"],
}


def data_set(file: Path, ratio: float, seed: int) -> None:
    """Write the long-tailed subset of digits, in random order."""
    digits, draw = load_digits(), np.random.default_rng(seed)
    kept = []
    for place, label in enumerate(draw.permutation(CLASSES)):
        size = max(2, round(LARGEST * ratio ** (-place / (CLASSES - 1))))
        kept.append(draw.permutation(np.flatnonzero(digits.target == label))[:size])
    rows = draw.permutation(np.concatenate(kept))
    images = (digits.images[rows] * 255 / 16).round().astype(np.uint8)
    np.savez(file, images=images, labels=digits.target[rows])


def measure(
    folder: Path, ratio: float, seeds: Iterable[int], ways: Iterable[str]
) -> dict[str, Cells]:
    """Score some of the ways on the same embeddings."""
    rows: dict[str, Cells] = {}
    for seed in seeds:
        file, run = folder / f"{ratio:g}-{seed}.npz", folder / f"{ratio:g}-{seed}"
        if not file.exists():
            data_set(file, ratio, seed)
        about = ["--recipe", "digits", "--seed", str(seed), "-r", str(run)]
        spice("run", str(file), "-k", str(CLASSES), "--until", "embed", *about)
        for way in ways:
            kept = folder / f"{ratio:g}-{seed}-{way.replace(' ', '')}.json"
            if not kept.exists():
                spice("self-label", "-r", str(run), "-k", str(CLASSES), *WAYS[way])
                found = scores(run, "self-label")
                cells = {name: found[name] for name in ("acc", "nmi", "ari")}
                kept.write_text(json.dumps(cells | {"smallest": smallest(run)}))
            collect(rows.setdefault(way, {}), json.loads(kept.read_text()))
    return rows


def smallest(run: Path) -> int:
    """Count the images of the smallest cluster."""
    guess = load_file(run / "self-label.safetensors")["probs"].argmax(1)
    return int(np.bincount(guess, minlength=CLASSES).min())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--ratios", type=float, nargs="+", default=[10, 100])
    parser.add_argument("--ways", nargs="+", choices=[*WAYS], default=[*WAYS], metavar="WAY")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    for ratio in asked.ratios:
        print(f"Ratio {ratio:g}, {len(asked.seeds)} seeds\n")
        print(table(measure(asked.folder, ratio, asked.seeds, asked.ways)) + "\n")


if __name__ == "__main__":
    main()
