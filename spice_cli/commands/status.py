from spice_cli.catalog import STAGES
from spice_cli.commands.locate import locate
from spice_cli.commands.options import JsonOption, RunOption
from spice_cli.console import emit, say


def status(run: RunOption = None, json: JsonOption = False) -> None:
    """Show which stages of a run are done, stale, unfinished, broken or missing."""
    path = locate(run)

    from spice_cli.run.manifest import Stage
    from spice_cli.run.store import Run
    from spice_cli.stages.origin import origin

    opened = Run.open(path)
    data = opened.manifest.data
    say(
        f"{path}: {data.name}, {data.train:,} training and {data.test:,} test images, "
        f"protocol {data.protocol}, recipe {opened.manifest.recipe.name}"
    )
    say(origin(opened))
    asked = [Stage.ASK.value] if Stage.ASK in opened.manifest.stages else []
    states = {name: opened.state(Stage(name)) for name in (*STAGES, *asked)}
    for name, state in states.items():
        stage = Stage(name)
        command = opened.command(stage, force=state == "broken")
        if state == "stale":
            say(f"`{name}` is stale: {opened.stale_because(stage)}; `{command}`")
        elif state == "broken":
            say(f"`{name}` is broken; `{command}`")
        elif state == "unfinished":
            say(f"`{name}` was interrupted and goes on with `{command}`")
    emit(states, as_json=json)
