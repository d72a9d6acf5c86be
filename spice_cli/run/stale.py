"""Which stages no longer follow from what they were made of."""

from spice_cli.run.manifest import Manifest, Stage


def stale_because(manifest: Manifest, stage: Stage) -> str | None:
    """Say which input of a finished stage changed since, its inputs' inputs included."""
    for name, sha256 in manifest.stages[stage].inputs.items():
        if name == "data":
            if sha256 != manifest.data.fingerprint:
                return "the images changed"
            continue
        if (source := manifest.stages.get(Stage(name))) is None:
            return f"`{name}` is gone"
        if source.sha256 != sha256:
            return f"`{name}` changed"
        if deeper := stale_because(manifest, Stage(name)):
            return f"{deeper}, which `{name}` read"
    return None


def to_mend(manifest: Manifest, stage: Stage) -> list[Stage]:
    """List the stages to run again, in order, so that `stage` is no longer stale."""
    found: set[Stage] = set()

    def visit(at: Stage) -> None:
        record = manifest.stages.get(at)
        if record is None or stale_because(manifest, at):
            found.add(at)
        for name in record.inputs if record else ():
            if name != "data":
                visit(Stage(name))

    visit(stage)
    return [each for each in Stage if each in found]
