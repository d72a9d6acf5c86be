"""Links in a directory of data: those that lead out of it are not followed."""

from pathlib import Path


def bounds(directory: Path) -> Path:
    """Return the directory, resolved, that links in a directory of data may lead to.

    It is that directory itself; for a snapshot in a cache of the Hugging Face hub, whose files are
    links to `blobs/` beside `snapshots/`, the cache of its repository.
    """
    root = directory.resolve()
    for folder in (root, *root.parents):
        if folder.parent.name == "snapshots" and (folder.parent.parent / "blobs").is_dir():
            return folder.parent.parent
    return root


def inside(path: Path, root: Path) -> bool:
    """Tell whether a path leads to something that lies below a resolved directory."""
    try:
        return path.resolve(strict=True).is_relative_to(root)
    except (OSError, RuntimeError):
        return False


def own_files(directory: Path, suffix: str) -> list[Path]:
    """Return the regular files in a directory whose names end in a suffix, sorted by name.

    Hidden ones and links that lead out of it are left out.
    """
    root = bounds(directory)
    return sorted(
        path
        for path in directory.iterdir()
        if path.suffix.lower() == suffix
        and not path.name.startswith(".")
        and path.is_file()
        and inside(path, root)
    )
