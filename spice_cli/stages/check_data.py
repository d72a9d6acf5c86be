"""What is wrong with images before anything is trained on them."""

from dataclasses import dataclass

from torch import Tensor

from spice_cli.data.dataset import Dataset
from spice_cli.ops.doubles import doubles, plain

KINDS = {
    "unreadable": "cannot be read, and are left out",
    "exact": "have the pixels of another one",
    "near": "are nearly the same as another one",
    "turned": "are another one turned by 90, 180 or 270 degrees",
    "shared": "of the test images are, or nearly are, training images",
    "plain": "show one colour only",
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
    """For each of `KINDS` an image, and the one it is compared with if there is one."""

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
        return out


def check_data(data: Dataset) -> Findings:
    """Look for `KINDS` of images; of two that are alike the later one is named first.

    A turned image is found only where the same image is there upright too.
    """
    compared = data.n <= MOST
    alike = doubles(data.images, data.test, pairwise=compared)
    paths = data.paths or tuple(f"image {row}" for row in range(data.n))

    def pairs(rows: Tensor) -> list[Pair]:
        return [(paths[late], paths[early]) for early, late in rows.tolist()]

    found: dict[str, list[Pair]] = {
        "unreadable": [(name, None) for name in data.bad],
        "exact": pairs(alike.exact),
        "near": pairs(alike.near),
        "turned": pairs(alike.turned),
        "shared": pairs(alike.shared),
        "plain": [(paths[row], None) for row in plain(data.images).tolist()],
    }
    return Findings(data.n, compared, found)


def _spelt(pair: Pair) -> str:
    name, other = pair
    return f"`{name}`" if other is None else f"`{name}` and `{other}`"
