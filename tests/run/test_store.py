import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from spice_cli.config.data import DataSpec
from spice_cli.errors import InvalidError, MissingError
from spice_cli.run import files
from spice_cli.run.axes import axes
from spice_cli.run.manifest import Data, Recipe, Record, Stage
from spice_cli.run.store import Run

Write = Callable[..., Record]
Valid = Callable[..., dict[str, Tensor]]
EMBED = Stage.EMBED


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def refused(run: Run, message: str, hint: str) -> None:
    with pytest.raises(InvalidError) as failure:
        Run.open(run.path).read(EMBED)
    assert message in str(failure.value)
    assert failure.value.hint == hint
    assert failure.value.exit_code == 4


@pytest.fixture
def done(run: Run, write: Write) -> Run:
    write(run, Stage.PRETRAIN)
    write(run, EMBED)
    return run


@pytest.fixture
def force(run: Run) -> str:
    return f"spice embed --force -r {run.path}"


# starting


def test_a_run_is_reopened_on_the_same_images_and_keeps_its_settings(run: Run, data: Data) -> None:
    again = Run.create(run.path, data, Recipe(name="other"), seed=5)
    assert again.manifest == run.manifest


def test_a_run_on_other_images_is_refused(run: Run, data: Data) -> None:
    other = data.model_copy(update={"name": "stl10", "spec": DataSpec(name="stl10")})
    with pytest.raises(InvalidError, match="is a run on `toy`, not on `stl10`") as failure:
        Run.create(run.path, other, Recipe(name="x"), seed=0)
    assert "--run" in failure.value.hint
    split = data.model_copy(update={"spec": DataSpec(name="toy", protocol="split")})
    with pytest.raises(InvalidError, match="other settings of `toy` .* protocol whole, not split"):
        Run.create(run.path, split, Recipe(name="x"), seed=0)


def test_changed_images_are_refused(run: Run, data: Data) -> None:
    moved = data.model_copy(update={"fingerprint": "b" * 64})
    with pytest.raises(InvalidError, match="the images of `toy` changed since") as failure:
        Run.create(run.path, moved, Recipe(name="x"), seed=0)
    assert failure.value.exit_code == 4


def test_a_run_cannot_be_inside_a_file(tmp_path: Path, data: Data) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidError, match="could not write `.*file/r`"):
        Run.create(tmp_path / "file" / "r", data, Recipe(name="x"), seed=0)


def test_the_recipe_can_be_changed(run: Run) -> None:
    run.change(recipe=Recipe(name="new", sections={"embed": {"views": 3}}))
    assert Run.open(run.path).manifest.recipe.sections == {"embed": {"views": 3}}


# round trip


@pytest.mark.parametrize("stage", list(Stage))
def test_what_is_written_is_read(whole: Run, stage: Stage, valid: Valid) -> None:
    assert same(Run.open(whole.path).read(stage), valid(stage))


def test_some_tensors_can_be_read_alone(whole: Run, valid: Valid) -> None:
    only = whole.read(Stage.SELF_LABEL, "probs", "losses")
    assert same(only, {name: valid(Stage.SELF_LABEL)[name] for name in ("probs", "losses")})


def test_the_same_tensors_give_the_same_bytes(whole: Run, write: Write) -> None:
    before = {file.name: file.read_bytes() for file in whole.path.glob("*.safetensors")}
    for stage in Stage:
        write(whole, stage)
    assert before == {file.name: file.read_bytes() for file in whole.path.glob("*.safetensors")}


def test_a_run_reads_with_ls(whole: Run) -> None:
    names = {file.name for file in whole.path.iterdir()}
    assert names == {
        "run.json",
        "run.json.spare",
        ".lock",
        *(f"{stage}.safetensors" for stage in Stage),
    }


def test_the_record_says_what_was_done(whole: Run) -> None:
    record = Run.open(whole.path).record(EMBED)
    file = whole.path / record.file
    assert (record.sha256, record.size) == (files.sha256(file), file.stat().st_size)
    assert record.config == {"crop": [0.2, 1.0]}
    assert record.inputs == {"data": "a" * 64, "pretrain": whole.record(Stage.PRETRAIN).sha256}
    assert (record.seed, record.seconds, record.imported) == (0, 1.5, False)
    assert record.tensors["embeddings"].shape == (8, 4)
    assert list(load_file(file)) == ["embeddings"]


def test_stages_are_listed_in_the_order_they_run(run: Run, write: Write) -> None:
    write(run, EMBED, inputs=run.inputs())
    write(run, Stage.PRETRAIN)
    assert list(Run.open(run.path).manifest.stages) == ["pretrain", "embed"]


def test_finishing_discards_the_checkpoint(run: Run, write: Write) -> None:
    checkpoint = run.path / "pretrain.checkpoint.safetensors"
    checkpoint.write_bytes(b"half-way")
    assert run.state(Stage.PRETRAIN) == "unfinished"
    write(run, Stage.PRETRAIN)
    assert (run.state(Stage.PRETRAIN), checkpoint.exists()) == ("done", False)


# schema at the door


def test_what_breaks_the_schema_is_not_written(done: Run) -> None:
    record = done.record(EMBED)
    before = (done.path / "embed.safetensors").read_bytes()
    with pytest.raises(InvalidError, match=r"`embeddings` of `embed` has shape \(9, 4\)"):
        done.write(
            EMBED,
            {"embeddings": torch.eye(9, 4)},
            config={},
            inputs=done.inputs(),
            seed=0,
            environment=record.environment,
            seconds=0,
        )
    assert Run.open(done.path).record(EMBED) == record
    assert (done.path / "embed.safetensors").read_bytes() == before


def test_n_counts_training_images_for_the_reliable_ones_and_all_for_the_others(whole: Run) -> None:
    assert axes(whole.manifest, EMBED, {}) == {"n": 8}
    assert axes(whole.manifest, Stage.SELECT_RELIABLE, {}) == {"n": 6}
    assert axes(whole.manifest, Stage.SELECT_RELIABLE, {"self-label": "x"}) == {"n": 6, "k": 3}


def test_imported_parts_are_read_back(run: Run, valid: Valid) -> None:
    record = run.write(
        Stage.SELF_LABEL,
        {"probs": valid(Stage.SELF_LABEL)["probs"]},
        config={"from": {"name": "my file.safetensors"}},
        inputs=run.inputs(),
        seed=0,
        environment=finished_environment(),
        seconds=0,
        imported=True,
    )
    assert record.imported
    assert Run.open(run.path).read(Stage.SELF_LABEL).keys() == {"probs"}
    (run.path / record.file).unlink()
    with pytest.raises(InvalidError) as failure:
        run.read(Stage.SELF_LABEL)
    assert failure.value.hint == (
        f"spice self-label --from 'my file.safetensors' --force -r {run.path}"
    )


def finished_environment() -> Any:
    from spice_cli.run.manifest import Environment

    return Environment(spice="0", torch="2", python="3", device="cpu", precision="fp32")


# up to date


def test_up_to_date_means_same_config_inputs_seed_and_bytes(done: Run, write: Write) -> None:
    inputs = done.inputs(Stage.PRETRAIN)
    config = {"crop": (0.2, 1.0)}
    assert done.up_to_date(EMBED, config, inputs, 0)
    assert Run.open(done.path).up_to_date(EMBED, {"crop": [0.2, 1.0]}, inputs, 0)
    assert not done.up_to_date(EMBED, {"crop": (0.3, 1.0)}, inputs, 0)
    assert not done.up_to_date(EMBED, config, {**inputs, "data": "b" * 64}, 0)
    assert not done.up_to_date(EMBED, config, inputs, 1)
    assert not done.up_to_date(Stage.SEMI, config, inputs, 0)
    flip(done.path / "embed.safetensors", -1)
    assert not done.up_to_date(EMBED, config, inputs, 0)


def test_a_stage_that_was_not_run_is_missing(run: Run) -> None:
    for ask in (lambda: run.read(EMBED), lambda: run.inputs(EMBED)):
        with pytest.raises(MissingError, match="has no `embed` yet") as failure:
            ask()
        assert failure.value.exit_code == 3
        assert failure.value.hint == f"spice embed -r {run.path}"


# faults


def flip(file: Path, at: int) -> None:
    raw = bytearray(file.read_bytes())
    raw[at] ^= 1
    file.write_bytes(raw)


def test_any_flipped_byte_is_noticed(done: Run, force: str) -> None:
    file = done.path / "embed.safetensors"
    raw = file.read_bytes()
    for at in range(len(raw)):
        file.write_bytes(raw)
        flip(file, at)
        refused(done, f"`{file}` is not the file that `embed` wrote", force)
    assert done.state(EMBED) == "done"
    assert done.state(EMBED, verify=True) == "broken"


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_a_truncated_file_is_noticed(done: Run, force: str, kept: int) -> None:
    file = done.path / "embed.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    refused(done, f"`{file}` is not the file that `embed` wrote: it has", force)
    assert done.state(EMBED) == "broken"


def test_a_missing_file_is_noticed(done: Run, force: str) -> None:
    file = done.path / "embed.safetensors"
    file.unlink()
    refused(done, f"`{file}`, which `embed` wrote, is gone", force)
    assert done.state(EMBED) == "broken"


def forge(run: Run, tensors: dict[str, Tensor], *, specs: bool) -> None:
    """Put other tensors there, and make the manifest agree as far as it can."""
    file = run.path / "embed.safetensors"
    save_file(tensors, file)
    value = json.loads((run.path / "run.json").read_text())
    del value["check"]
    record = value["stages"]["embed"]
    record |= {"sha256": files.sha256(file), "size": file.stat().st_size}
    if specs:
        record["tensors"] = {
            name: {"shape": list(t.shape), "dtype": str(t.dtype).removeprefix("torch.")}
            for name, t in tensors.items()
        }
    (run.path / "run.json").write_text(json.dumps(value))


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("features", torch.eye(8, 4), "`embed` needs a tensor `embeddings (n, d)`"),
        ("embeddings", torch.eye(4), "`embeddings` of `embed` has shape (4, 4)"),
        ("embeddings", torch.full((8, 4), torch.nan), "`embeddings` of `embed` holds values"),
        ("embeddings", torch.full((8, 4), 2.0), "`embeddings` of `embed` has length 4 in row 0"),
    ],
)
def test_a_forged_artifact_is_named_by_file_and_tensor(
    done: Run, force: str, name: str, tensor: Tensor, message: str
) -> None:
    forge(done, {name: tensor}, specs=True)
    refused(done, f"`{done.path / 'embed.safetensors'}`: ", force)
    refused(done, message, force)


def test_a_file_that_is_not_as_the_manifest_describes_it_is_named(done: Run, force: str) -> None:
    forge(done, {"embeddings": torch.nn.functional.normalize(torch.ones(8, 5))}, specs=False)
    refused(done, "tensor `embeddings` in", force)
    refused(done, "is not as `run.json` describes it", force)


# crashes


@pytest.mark.parametrize("first", [True, False])
def test_a_crash_before_the_manifest_leaves_the_old_state(
    done: Run, write: Write, valid: Valid, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    stage = Stage.SELF_LABEL if first else EMBED
    (done.path / f"{stage}.checkpoint.safetensors").write_bytes(b"half-way")
    before = done.manifest
    with monkeypatch.context() as patch:
        patch.setattr(Run, "_save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            write(done, stage, seed=1)
    again = Run.open(done.path)
    assert again.manifest == before
    assert (done.path / f"{stage}.checkpoint.safetensors").exists()
    if first:
        assert again.state(stage) == "unfinished"
    else:
        assert again.state(stage, verify=True) == "done"
        assert same(again.read(stage), valid(stage))
        with again.lock():
            assert not list(done.path.glob("*.previous"))
        assert same(again.read(stage), valid(stage))
    write(again, stage, seed=1)
    assert same(Run.open(done.path).read(stage), valid(stage, 1))
    assert not list(done.path.glob("*.previous"))


def test_a_crash_at_any_replacement_leaves_the_old_or_the_new_whole(
    done: Run, write: Write, valid: Valid, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = done.read(EMBED)
    replace = Path.replace
    outcomes = []
    for crash in range(1, 8):
        calls = iter(range(1, 100))

        def guarded(file: Path, to: Path, calls: Any = calls, crash: int = crash) -> Path:
            if next(calls) >= crash:
                raise KeyboardInterrupt
            return replace(file, to)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", guarded)
            try:
                write(Run.open(done.path), EMBED, seed=1)
            except KeyboardInterrupt:
                outcomes.append("crashed")
            else:
                outcomes.append("done")
        found = Run.open(done.path)
        new = found.record(EMBED).seed == 1
        assert same(found.read(EMBED), valid(EMBED, 1) if new else old)
        if outcomes[-1] == "done":
            break
    assert outcomes == [*["crashed"] * 5, "done"]


def test_a_disk_that_is_full_loses_nothing(
    done: Run, write: Write, valid: Valid, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    for target in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr("os.fsync" if target == "fsync" else "pathlib.Path.replace", full)
            with pytest.raises(InvalidError, match="could not write `.*`: no space left") as at:
                write(done, EMBED, seed=1)
        assert at.value.exit_code == 4
        assert same(Run.open(done.path).read(EMBED), valid(EMBED))
    write(done, EMBED, seed=1)
    assert same(Run.open(done.path).read(EMBED), valid(EMBED, 1))


def test_what_a_killed_writer_left_is_cleared_away(done: Run) -> None:
    for name in ("run.json.partial", "semi.safetensors.partial"):
        (done.path / name).write_bytes(b"half")
    (done.path / "mine.partial").write_bytes(b"not ours")
    with done.lock():
        assert [file.name for file in done.path.glob("*.partial")] == ["mine.partial"]


def test_what_is_no_text_is_refused_before_anything_is_written(tmp_path: Path, data: Data) -> None:
    with pytest.raises(InvalidError, match=r"`x\udcff.toml` is not UTF-8") as at:
        Run.create(tmp_path / "r", data, Recipe(name="x\udcff.toml"), seed=0)
    assert "rename it" in at.value.hint
    assert not (tmp_path / "r").exists()
