"""What is wrong with images before anything is trained on them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from spice_cli.data.dataset import Dataset
from spice_cli.ops.doubles import doubles, plain
from spice_cli.stages.sight import Sight

KINDS = {
    "unreadable": "cannot be read, and are left out",
    "exact": "have the pixels of another one",
    "near": "are nearly the same as another one",
    "turned": "are another one turned by 90, 180 or 270 degrees",
    "shared": "of the test images are, or nearly are, training images",
    "plain": "show one colour only",
    "alike": "look like another one to the network",
    "rotated": "seem to be turned, by degrees counterclockwise",
}
"""What can be found, and what is said of such images."""
MOST = 50_000
"""Images that are compared with each other; of more only the same pixels are found."""
Pair = tuple[str, str | None]


@dataclass(frozen=True)
class Findings:
    """What was found among `images` readable images."""

    images: int
    compared: bool
    """Whether near-duplicates and turned images were looked for."""
    found: dict[str, list[Pair]]
    """For each of `KINDS` an image, and the one it is compared with if there is one.

    Of `rotated` ones the second are the degrees.
    """
    judged: int = 0
    """Images of which a network was asked which way they lie."""
    accuracy: float | None = None
    """Share of the turns that it told rightly; None where none was asked."""
    upright: bool = False
    """Whether that is enough to say anything."""

    @property
    def lines(self) -> list[str]:
        """Sum up in a line a kind, with the first few names."""
        out = []
        for kind, pairs in self.found.items():
            if pairs:
                some = ", ".join(_spelt(pair) for pair in pairs[:3])
                out.append(f"{len(pairs):,} {KINDS[kind]}: {some}{', ...' if pairs[3:] else ''}")
        if not self.compared:
            out.append(f"near-duplicates and turned images are looked for up to {MOST:,} images")
        if self.accuracy is not None:
            told = f"{self.accuracy:.0%} of the turns of {self.judged:,} images are told rightly"
            unsure = "" if self.upright else ", too few to say which of them are rotated"
            out.append(told + unsure)
        return out


def check_data(data: Dataset, sight: Sight | None = None) -> Findings:
    """Look for `KINDS` of images; of two that are alike the later one is named first.

    A turned image is found only where the same image is there upright too. What is `alike` or
    `rotated` is what a network saw, and so are some of the `shared` ones.
    """
    compared = data.n <= MOST
    by_pixels = doubles(data.images, data.test, pairwise=compared)
    paths = data.paths or tuple(f"image {row}" for row in range(data.n))

    def pairs(rows: Tensor) -> list[Pair]:
        return [(paths[late], paths[early]) for early, late in rows.tolist()]

    found: dict[str, list[Pair]] = {
        "unreadable": [(name, None) for name in data.bad],
        "exact": pairs(by_pixels.exact),
        "near": pairs(by_pixels.near),
        "turned": pairs(by_pixels.turned),
        "shared": pairs(by_pixels.shared),
        "plain": [(paths[row], None) for row in plain(data.images).tolist()],
        "alike": [],
        "rotated": [],
    }
    if sight is None:
        return Findings(data.n, compared, found)
    known = torch.cat([by_pixels.exact[:, 1], by_pixels.near[:, 1], by_pixels.turned[:, 1]])
    found["alike"] = pairs(sight.alike[~torch.isin(sight.alike[:, 1], known)])
    new = ~torch.isin(sight.shared[:, 1], by_pixels.shared[:, 1])
    found["shared"] += pairs(sight.shared[new])
    way = sight.orientation
    found["rotated"] = [
        (paths[row], str(degrees))
        for row, degrees in zip(sight.rows.tolist(), way.degrees.tolist(), strict=True)
        if degrees
    ]
    return Findings(data.n, compared, found, len(sight.rows), way.accuracy, way.told)


def _spelt(pair: Pair) -> str:
    name, other = pair
    return f"`{name}`" if other is None else f"`{name}` and `{other}`"
