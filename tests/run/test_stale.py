from collections.abc import Callable

import pytest

from spice_cli.errors import InvalidError
from spice_cli.run.manifest import Record, Stage
from spice_cli.run.stale import stale_because, to_mend
from spice_cli.run.store import Run

Write = Callable[..., Record]


def test_nothing_is_stale_in_a_run_done_in_order(whole: Run) -> None:
    assert [stale_because(whole.manifest, stage) for stage in Stage] == [None] * 6
    assert [whole.state(stage) for stage in Stage] == ["done"] * 6


def test_redoing_a_stage_to_the_same_bytes_makes_nothing_stale(whole: Run, write: Write) -> None:
    write(whole, Stage.EMBED)
    assert [whole.state(stage) for stage in Stage] == ["done"] * 6


def test_a_changed_stage_makes_all_that_follows_stale(whole: Run, write: Write) -> None:
    write(whole, Stage.EMBED, seed=1)
    states = [whole.state(stage) for stage in Stage]
    assert states == ["done", "done", "stale", "stale", "stale", "stale"]
    assert whole.stale_because(Stage.SELF_LABEL) == "`embed` changed"
    assert whole.stale_because(Stage.SEMI) == "`embed` changed, which `select-reliable` read"
    assert to_mend(whole.manifest, Stage.SEMI) == ["self-label", "select-reliable", "semi"]
    assert to_mend(whole.manifest, Stage.SELF_LABEL) == ["self-label"]


def test_reading_a_stale_stage_says_what_changed_and_what_mends_it(
    whole: Run, write: Write
) -> None:
    write(whole, Stage.EMBED, seed=1)
    with pytest.raises(InvalidError, match="`semi` in `.*` is stale: `embed` changed") as failure:
        whole.read(Stage.SEMI)
    path = whole.path
    assert failure.value.exit_code == 4
    assert failure.value.hint == (
        f"spice self-label -r {path} && spice select-reliable -r {path} && spice semi -r {path}"
    )


def test_a_stage_that_is_gone_and_changed_images_are_named(whole: Run) -> None:
    stages = {k: v for k, v in whole.manifest.stages.items() if k is not Stage.EMBED}
    without = whole.manifest.model_copy(update={"stages": stages})
    assert stale_because(without, Stage.SELF_LABEL) == "`embed` is gone"
    assert to_mend(without, Stage.SELF_LABEL) == ["embed", "self-label"]
    data = whole.manifest.data.model_copy(update={"fingerprint": "b" * 64})
    moved = whole.manifest.model_copy(update={"data": data})
    assert stale_because(moved, Stage.PRETRAIN) == "the images changed"
