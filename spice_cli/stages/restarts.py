"""What `--force` asks for where `torchrun` starts a command again after a failure."""

from spice_cli.run.manifest import Stage
from spice_cli.run.redo import Redo
from spice_cli.run.store import Run
from spice_cli.stages.launched import launched


def asked_anew(run: Run, stage: Stage, redo: Redo) -> bool:
    """Tell whether `--force` is to compute a stage from its start.

    The first attempt does, and notes which stages it may not come to; a later one does so with
    these alone: what was finished by then stays, and what was interrupted goes on.
    """
    if launched("TORCHELASTIC_RESTART_COUNT", 0):
        return redo.asked
    if launched("TORCHELASTIC_MAX_RESTARTS", 0):
        stages = list(Stage)
        for later in stages[stages.index(stage) + 1 : stages.index(Stage.ASK)]:
            Redo(run.path, later, run.manifest.stages.get(later)).ask()
        redo.ask()
    return True
