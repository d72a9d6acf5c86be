import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Spice = Callable[..., Any]
Digests = Callable[[Path], dict[str, str]]
Forget = Callable[..., Path]
STAGES = ["pretrain", "embed", "self-label", "select-reliable", "semi"]
AS_WRITTEN = """
spice pretrain digits
spice embed
spice self-label --heads 10
spice select-reliable
spice semi
spice evaluate --metrics acc nmi ari
"""


@pytest.fixture
def short(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give `digits` the tiny recipe."""
    recipes = tmp_path / "recipes"
    recipes.mkdir()
    shutil.copy(tiny, recipes / "digits.toml")
    monkeypatch.setattr("spice_cli.settings.recipes.recipe_folder", lambda: recipes)


def marks(run: Path) -> dict[str, tuple[bytes, int]]:
    files = sorted(run.glob("*.safetensors"))
    return {file.stem: (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


def changed(run: Path, before: dict[str, tuple[bytes, int]]) -> list[str]:
    after = marks(run)
    return [stage for stage in STAGES if before[stage] != after[stage]]


def manifest(run: Path) -> Any:
    return json.loads((run / "run.json").read_text())


@pytest.mark.usefixtures("short")
def test_the_stages_run_exactly_as_they_are_written(spice: Spice, tmp_path: Path) -> None:
    lines = [line.split()[1:] for line in AS_WRITTEN.strip().splitlines()]
    for line in lines[:-1]:
        result = spice(*line)
        assert result.stdout == "runs/digits\n"
        assert ("run runs/digits" in result.stderr.splitlines()) == (line[0] != "pretrain")
    names = [line.split("\t")[0] for line in spice(*lines[-1]).stdout.splitlines()]
    assert names == ["acc", "nmi", "ari"]
    run = tmp_path / "runs" / "digits"
    assert list(manifest(run)["stages"]) == STAGES
    assert manifest(run)["stages"]["self-label"]["config"]["heads"] == 10
    for stage in ("pretrain", "self-label", "semi"):
        epochs = [json.loads(line) for line in (run / f"{stage}.jsonl").read_text().splitlines()]
        assert [line["epoch"] for line in epochs] == list(range(1, len(epochs) + 1))
        assert all({"loss", "seconds", "images_per_second"} <= set(line) for line in epochs)
    assert (run / "confusion.png").read_bytes().startswith(b"\x89PNG")


def test_a_shell_pipe_hands_the_run_on(tiny: Path, finished: Path, digests: Digests) -> None:
    spice = f"{shlex.quote(sys.executable)} -m spice_cli"
    pipe = (
        f"set -o pipefail; {spice} pretrain digits --recipe {shlex.quote(str(tiny))}"
        f" | {spice} embed -r -"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(["bash", "-c", pipe], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "runs/digits\n"
    assert "\x1b" not in done.stderr
    assert re.search(r"^pretrain  epoch 3/3  loss \d", done.stderr, re.MULTILINE)
    ours, theirs = digests(Path("runs/digits")), digests(finished)
    assert len(ours) == 2
    assert ours.items() <= theirs.items()


def test_every_stage_reads_its_run_from_stdin(spice: Spice, copied: Path) -> None:
    line = f"{copied}\n"
    for stage in STAGES[1:]:
        line = spice(stage, "-r", "-", input=line).stdout
        assert line == f"{copied}\n"
    scores = spice("evaluate", "-r", "-", "--metrics", "acc", "nmi", "ari", "--json", input=line)
    assert scores.stdout.count("\n") == 1
    assert list(json.loads(scores.stdout)) == ["acc", "nmi", "ari", "of"]


def test_a_stage_that_failed_stops_the_pipe(spice: Spice) -> None:
    assert "stdin named no run" in spice("embed", "-r", "-", input="", code=3).stderr


def test_a_second_run_touches_nothing(spice: Spice, copied: Path) -> None:
    before = marks(copied)
    result = spice("run", "digits", "-r", copied)
    assert [f"`{stage}` is up to date" in result.stderr for stage in STAGES] == [True] * 5
    assert changed(copied, before) == []
    assert spice("semi", "-r", copied).stdout == f"{copied}\n"
    assert changed(copied, before) == []


@pytest.mark.parametrize(
    ("setting", "reached"),
    [
        ("semi.steps=50", ["semi"]),
        ("select-reliable.neighbors=12", ["select-reliable", "semi"]),
        ("self-label.epochs=2", ["self-label", "select-reliable", "semi"]),
        ("pretrain.epochs=2", STAGES),
    ],
)
def test_a_changed_setting_recomputes_only_what_it_reaches(
    spice: Spice, copied: Path, setting: str, reached: list[str]
) -> None:
    before = marks(copied)
    quick = ["--set", "semi.steps=50"]
    spice("run", "digits", "-r", copied, "--set", setting, *quick)
    assert changed(copied, before) == reached


def test_force_redoes_one_stage_to_the_same_bytes(
    spice: Spice, copied: Path, digests: Digests
) -> None:
    before, hashes = marks(copied), digests(copied)
    result = spice("embed", "-r", copied, "--force")
    assert "up to date" not in result.stderr
    assert changed(copied, before) == ["embed"]
    assert digests(copied) == hashes


def test_another_seed_gives_another_result(spice: Spice, copied: Path, digests: Digests) -> None:
    before = digests(copied)
    spice("self-label", "-r", copied, "--seed", 1)
    assert digests(copied)["self-label.safetensors"] != before["self-label.safetensors"]
    assert manifest(copied)["stages"]["self-label"]["seed"] == 1


def pasted(spice: Spice, stderr: str) -> None:
    """Do what the hint says."""
    hint = stderr.split("hint: ")[1].strip()
    for command in hint.split(" && "):
        spice(*shlex.split(command)[1:])


def test_a_stale_chain_is_named_and_the_hint_mends_it(
    spice: Spice, finished: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(finished, tmp_path / "a run")
    spice("pretrain", "-r", run, "--epochs", 2)
    result = spice("evaluate", "-r", run, code=4)
    assert "is stale: `pretrain` changed" in result.stderr
    states = dict(line.split("\t") for line in spice("status", "-r", run).stdout.splitlines())
    assert states == {"pretrain": "done"} | dict.fromkeys(STAGES[1:], "stale")
    pasted(spice, result.stderr)
    spice("evaluate", "-r", run)
    assert set(json.loads(spice("status", "-r", run, "--json").stdout).values()) == {"done"}


def test_status_hints_can_be_pasted(spice: Spice, finished: Path, tmp_path: Path) -> None:
    run = shutil.copytree(finished, tmp_path / "a run")
    (run / "embed.safetensors").write_bytes(b"")
    spice("pretrain", "-r", run, "--epochs", 2)
    result = spice("status", "-r", run)
    commands = re.findall(r"`(spice [^`]*)`", result.stderr)
    assert [shlex.split(command)[1] for command in commands] == STAGES[1:]
    for command in commands:
        spice(*shlex.split(command)[1:])
    assert set(json.loads(spice("status", "-r", run, "--json").stdout).values()) == {"done"}


FAULTS: dict[str, Callable[[bytes], bytes]] = {
    "flipped": lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
    "truncated": lambda data: data[:-100],
    "empty": lambda data: b"",
    "renamed": lambda data: data.replace(b'"probs"', b'"prods"'),
    "reshaped": lambda data: data.replace(b"[1797,10]", b"[3594,05]".replace(b"05", b" 5")),
    "garbage": lambda data: b"\xff" * len(data),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_artifact_is_named_and_the_hint_mends_it(
    spice: Spice, copied: Path, fault: str, digests: Digests
) -> None:
    before = digests(copied)
    file = copied / "self-label.safetensors"
    file.write_bytes(FAULTS[fault](file.read_bytes()))
    for command in (["evaluate", "--stage", "self-label"], ["select-reliable", "--force"]):
        result = spice(*command, "-r", copied, code=4)
        assert result.stdout == ""
        assert str(file) in result.stderr
    pasted(spice, result.stderr)
    assert digests(copied) == before


def edit(run: Path, change: Callable[[Any], Any]) -> None:
    file = run / "run.json"
    content = json.loads(file.read_text())
    content.pop("check", None)
    change(content)
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda m: m.update(format=2), "was written by a newer `spice`"),
        (lambda m: m.update(surprise=1), "`surprise` is unknown"),
        (lambda m: m.pop("data"), "`data` is missing"),
        (lambda m: m["stages"]["semi"].update(sha256="x"), "stages.semi.sha256"),
        (lambda m: m["stages"]["semi"].update(file="../semi"), "stages.semi.file"),
        (lambda m: m["stages"]["semi"]["tensors"].pop("probs"), "tensor `probs`"),
    ],
)
def test_a_manifest_that_is_wrong_is_named(
    spice: Spice, copied: Path, change: Callable[[Any], Any], sentence: str
) -> None:
    edit(copied, change)
    result = spice("evaluate", "-r", copied, code=4)
    assert sentence in result.stderr
    assert str(copied) in result.stderr


def test_a_manifest_that_is_no_json_is_named(spice: Spice, copied: Path) -> None:
    (copied / "run.json").write_bytes(b'{"format": 1,')
    for name in ("status", "embed", "evaluate"):
        assert "it is not JSON" in spice(name, "-r", copied, code=4).stderr
    assert "it is not JSON" in spice("run", "digits", "-r", copied, code=4).stderr


def test_a_run_on_other_images_is_not_mixed_up(spice: Spice, copied: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (12, 8, 8), dtype=np.uint8)
    np.savez("other.npz", images=images)
    assert "is a run on `digits`" in spice("run", "other.npz", "-r", copied, code=4).stderr


def test_images_that_changed_are_noticed(spice: Spice, tmp_path: Path) -> None:
    from spice_cli.stages.images import _loaded

    generator = np.random.default_rng(0)
    for _ in range(2):
        _loaded.clear()  # as another process would have it
        images = generator.integers(0, 255, (24, 8, 8), dtype=np.uint8)
        np.savez("mine.npz", images=images)
        code = 4 if (tmp_path / "r").exists() else 0
        line = ["pretrain", "mine.npz", "-r", "r", "--epochs", 1, "--set", "width=4"]
        result = spice(*line, "--backbone", "small", code=code)
    assert "changed since" in result.stderr


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("pretrain --set lr=1e30 --set warmup=0", "`pretrain` collapsed: loss is"),
        ("self-label --set lr=1e30 --set entropy=0", "`self-label` collapsed"),
        ("semi --set lr=1e30", "`semi` collapsed"),
    ],
)
def test_a_collapse_stops_early_and_leaves_the_run_as_it_was(
    spice: Spice, copied: Path, line: str, sentence: str, digests: Digests
) -> None:
    before = digests(copied)
    result = spice(*line.split(), "-r", copied, code=4)
    assert result.stdout == ""
    assert sentence in result.stderr
    assert "hint: " in result.stderr
    assert digests(copied) == before


def test_one_class_taught_to_all_is_a_collapse(spice: Spice, copied: Path) -> None:
    labels = np.full(1797, -100)
    labels[:40] = 1
    labels[40] = 0
    np.save("labels.npy", labels)
    spice("select-reliable", "-r", copied, "--from", "labels.npy")
    stderr = spice("semi", "-r", copied, "--set", "steps=150", "--set", "lr=0.1", code=4).stderr
    assert "`semi` collapsed: one of 2 clusters holds" in stderr


def test_a_cluster_without_a_reliable_image_says_what_to_relax(spice: Spice, copied: Path) -> None:
    strict = ["select-reliable", "-r", copied, "--agreement", 1, "--min-per-cluster", 0]
    result = spice(*strict, code=4)
    assert "no reliable sample in" in result.stderr
    assert "`--set min_per_cluster=20 --set balance=none`" in result.stderr
    relaxed = spice(*strict[:-1], 20).stderr
    counts = [int(each) for each in re.findall(r"\d+: (\d+)/\d+", relaxed)]
    assert len(counts) == 10
    assert min(counts) > 0


def test_a_second_writer_is_refused_but_may_read(spice: Spice, copied: Path) -> None:
    from spice_cli.run.store import Run

    with Run.open(copied).lock():
        result = spice("embed", "-r", copied, "--force", code=4)
        assert "is being written by another process" in result.stderr
        spice("status", "-r", copied)
        spice("evaluate", "-r", copied, "--metrics", "acc")


@contextmanager
def nobody() -> Iterator[None]:
    """Be a user who may write nowhere, where we are root."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_run_that_may_only_be_read_can_be_evaluated(spice: Spice, finished: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = shutil.copytree(finished, Path(folder) / "r")
        for file in ("evaluate.json", "confusion.png"):
            (run / file).unlink()
        Path(folder).chmod(0o755)
        run.chmod(0o555)
        os.chdir(folder)
        with nobody():
            result = spice("evaluate", "-r", run)
            refused = spice("embed", "-r", run, "--force", code=4).stderr
            assert "could not write" in refused
            assert "permission denied" in refused
            assert spice("status", "-r", run).stdout
        run.chmod(0o755)
        assert len(result.stdout.splitlines()) == 3
        assert "warning: could not write" in result.stderr
        assert not (run / "evaluate.json").exists()


def test_ctrl_c_exits_130_and_the_same_command_goes_on(
    spice: Spice, tiny: Path, finished: Path, digests: Digests
) -> None:
    line = ["pretrain", "digits", "--recipe", str(tiny), "-r", "r", "--checkpoint-seconds", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "spice_cli", *line],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stderr
    file = Path("r", "pretrain.checkpoint.safetensors")
    while process.poll() is None and not file.exists():
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    # Python may end itself by the signal instead; a shell calls both 130.
    assert process.returncode in (130, -signal.SIGINT)
    assert out == ""
    assert "error: interrupted" in error
    assert "Traceback" not in error
    assert spice("status", "-r", "r").stdout.startswith("pretrain\tunfinished\n")
    assert "`pretrain` goes on after epoch" in spice(*line).stderr
    name = "pretrain.safetensors"
    assert digests(Path("r"))[name] == digests(finished)[name]
    assert not file.exists()


def test_what_a_killed_writer_left_half_done_is_cleared_away(spice: Spice, copied: Path) -> None:
    before = {file.name for file in copied.iterdir()}
    for name in ("run.json", "semi.safetensors", "semi.checkpoint.safetensors", "semi.jsonl"):
        (copied / f"{name}.partial").write_bytes(b"half")
    spice("semi", "-r", copied)
    assert {file.name for file in copied.iterdir()} == before


def test_a_damaged_checkpoint_is_named_and_the_hint_mends_it(
    spice: Spice, copied: Path, forget: Forget, digests: Digests
) -> None:
    before = digests(copied)
    forget(copied, "semi")
    (copied / "semi.checkpoint.safetensors").write_bytes(b"\0" * 100)
    assert "semi\tunfinished" in spice("status", "-r", copied).stdout
    result = spice("semi", "-r", copied, code=4)
    assert "is damaged" in result.stderr
    pasted(spice, result.stderr)
    assert digests(copied) == before
