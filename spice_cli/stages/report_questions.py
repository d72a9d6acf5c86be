"""Which images a report asks about."""

from spice_cli.errors import SpiceError
from spice_cli.report.questions import Ask, Questions
from spice_cli.run.files import quoted
from spice_cli.run.manifest import Stage
from spice_cli.stages.album import Album
from spice_cli.stages.asking import Asking
from spice_cli.stages.assignments import newest
from spice_cli.stages.perform import choose_device
from spice_cli.stages.scene import Scene
from spice_cli.track import Track

USUAL, EASY = 20, 10_000
"""Questions of a report by itself, and the training images up to which it asks any."""


def questions(scene: Scene, album: Album, count: int | None, track: Track) -> Questions:
    """Return up to `count` questions about the clusters shown; a report is no worse for none.

    They are those of `spice ask --list`, but images are always compared by their embeddings, which
    are there already.
    """
    run = scene.run
    command = f"spice ask --answers answers.csv -r {quoted(run.path)}"

    def none(why: str) -> Questions:
        return Questions((), (), why, command)

    few = run.manifest.data.train <= EASY
    wanted = (USUAL if few else 0) if count is None else count
    if not wanted:
        return none("Nothing is asked here: `spice report --questions 20`, or `spice ask`.")
    try:
        asking = Asking(run, choose_device("auto"), track, stored=True)
    except SpiceError as error:
        return none(f"Nothing can be asked: {error}.")
    other = scene.stage is Stage.EMBED and scene.found.clusters != asking.clusters
    if other or scene.stage is not newest(run):
        return none("Questions are asked about the furthest result only.")
    asked = asking.questions(wanted)
    if not asked:
        return none("There is nothing left to ask.")
    known = set(asking.asked.paths)
    pictures = album.add([each.row for each in asked])
    return Questions(
        asked=[
            Ask(
                path=each.path,
                key=key(each.path, each.row, known),
                picture=picture,
                options=list(zip(each.options, each.shares, strict=True)),
            )
            for each, picture in zip(asked, pictures, strict=True)
        ],
        clusters=[(cluster, asking.names.get(cluster, "")) for cluster in asking.present],
        note="",
        command=command,
    )


def key(path: str, row: int, known: set[str]) -> str:
    """Return the path, or the row's number where the path is no text that a file can hold."""
    plain = path.isprintable() and path == path.strip()
    return path if plain or str(row) in known else str(row)
