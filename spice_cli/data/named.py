"""The image files that a person named: files, and directories of them."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from spice_cli.data.spelling import text
from spice_cli.data.walk import images_below


def named_images(paths: Iterable[Path]) -> Iterator[tuple[str, Path]]:
    """Yield what to call each image, and its file: those below directories in sorted order.

    A file is taken whatever it is called. Raises InvalidError for a directory that cannot be read.
    """
    for path in paths:
        if _is_dir(path):
            root = path.resolve()
            above, beyond = str(path / "_")[:-1], len(str(root / "_")) - 1
            for file in images_below(root, root, Counter()):
                yield text(above + str(file)[beyond:]), file
        else:
            yield text(path), path


def _is_dir(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long
        return False
