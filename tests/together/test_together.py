"""Several processes compute what one does: by torchrun, with gloo, on the CPU."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from spice_cli.catalog import METHODS

CHAIN, KEPT = (Path(__file__).parent / name for name in ("chain.py", "kept.py"))
LIMIT = 300


def torchrun(processes: int, *arguments: object) -> list[str]:
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return [*start, f"--nproc-per-node={processes}", *map(str, arguments)]


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=LIMIT, env=alone, check=False
    )


def spice(*arguments: object) -> subprocess.CompletedProcess[str]:
    return run([sys.executable, "-m", "spice_cli", *map(str, arguments)])


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    noise = np.random.default_rng(0)
    small = noise.integers(0, 255, (64, 4, 4, 3), dtype=np.uint8)
    large = [Image.fromarray(each).resize((16, 16), Image.Resampling.BILINEAR) for each in small]
    file = tmp_path_factory.mktemp("images") / "images.npz"
    np.savez(file, images=np.stack([np.asarray(each) for each in large]))
    return file


@pytest.fixture(scope="module")
def chains(images: Path) -> tuple[Path, Path]:
    """The runs of one process, and those of two."""
    one, two = images.parent / "one", images.parent / "two"
    arguments = (images, one, *METHODS)
    assert run([sys.executable, str(CHAIN), *map(str, arguments)]).returncode == 0
    done = run(torchrun(2, CHAIN, images, two, *METHODS))
    assert done.returncode == 0, done.stderr
    return one, two


def losses(run: Path, stage: str) -> torch.Tensor:
    lines = (run / f"{stage}.jsonl").read_text().splitlines()
    return torch.tensor([json.loads(line)["loss"] for line in lines], dtype=torch.float64)


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_pretrain_as_one_does(chains: tuple[Path, Path], method: str) -> None:
    one, two = (chain / method for chain in chains)
    assert len(losses(one, "pretrain")) == 20
    torch.testing.assert_close(losses(two, "pretrain"), losses(one, "pretrain"), atol=1e-5, rtol=0)
    mine, theirs = (load_file(run / "pretrain.safetensors") for run in (two, one))
    torch.testing.assert_close(mine, theirs, atol=5e-5, rtol=1e-3)


def test_two_processes_embed_as_one_does(chains: tuple[Path, Path]) -> None:
    for method in ("simclr", "moco"):
        mine, theirs = (load_file(chain / method / "embed.safetensors") for chain in chains)
        assert mine.keys() == {"embeddings", "weak", "strong"}
        torch.testing.assert_close(mine, theirs, atol=5e-5, rtol=0)


def test_two_processes_train_a_backbone_with_scan_as_one_does(chains: tuple[Path, Path]) -> None:
    one, two = (chain / "simclr" for chain in chains)
    own, other = losses(two, "self-label"), losses(one, "self-label")
    assert len(other) == 20
    torch.testing.assert_close(own, other, atol=1e-5, rtol=0)


def test_two_processes_select_what_one_does(chains: tuple[Path, Path]) -> None:
    mine, theirs = (load_file(chain / "moco" / "select-reliable.safetensors") for chain in chains)
    assert len(mine["consistency"]) == 64
    assert mine["consistency"].unique().numel() > 2
    torch.testing.assert_close(mine, theirs, atol=0, rtol=0)


def test_two_processes_train_a_classifier_as_one_does(chains: tuple[Path, Path]) -> None:
    one, two = (chain / "moco" for chain in chains)
    assert len(losses(one, "semi")) == 20
    torch.testing.assert_close(losses(two, "semi"), losses(one, "semi"), atol=1e-5, rtol=0)
    mine, theirs = (load_file(run / "semi.safetensors")["probs"] for run in (two, one))
    torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=0)


def test_the_record_says_how_many_computed(chains: tuple[Path, Path]) -> None:
    for chain, world in zip(chains, (1, 2), strict=True):
        stages = json.loads((chain / "moco" / "run.json").read_text())["stages"]
        sizes = {stage: record["environment"]["world_size"] for stage, record in stages.items()}
        assert sizes == dict.fromkeys(stages, world)
        assert len(sizes) == 5


def test_a_part_of_a_split_batch_norm_may_be_larger_than_a_process_holds(
    chains: tuple[Path, Path], images: Path
) -> None:
    four = images.parent / "four"
    done = run(torchrun(4, CHAIN, images, four, "byol"))
    assert done.returncode == 0, done.stderr
    own, other = losses(four / "byol", "pretrain"), losses(chains[0] / "byol", "pretrain")
    torch.testing.assert_close(own, other, atol=1e-5, rtol=0)


SMALL = (
    "--backbone", "resnet14", "--batch-size", 32, "--set", "width=8", "--precision", "bf16",
)  # fmt: skip


def test_devices_are_an_option(images: Path, tmp_path: Path) -> None:
    done = spice("pretrain", images, "-r", tmp_path / "run", "--epochs", 1, "--devices", 2, *SMALL)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'run'}\n"
    record = json.loads((tmp_path / "run" / "run.json").read_text())["stages"]["pretrain"]
    assert record["environment"]["world_size"] == 2


@pytest.mark.parametrize(
    ("settings", "message", "hint"),
    [
        (("--batch-size", 31), "a batch of 31 cannot be dealt to 2 processes evenly", "=30"),
        (
            ("--method", "moco", "--set", "splits=3", "--batch-size", 30),
            "3 parts of a batch norm cannot be dealt to 2 processes evenly",
            "splits=2",
        ),
    ],
)
def test_what_cannot_be_dealt_out_is_one_error(
    images: Path, tmp_path: Path, settings: tuple[object, ...], message: str, hint: str
) -> None:
    done = spice("pretrain", images, "-r", tmp_path / "run", "--devices", 2, *SMALL, *settings)
    assert done.returncode == 2
    assert f"error: {message}\n" in done.stderr
    assert hint in done.stderr
    assert "Traceback" not in done.stderr


def rank_1_of(mark: str) -> int:
    """Find the second process of those whose environment has `mark`."""
    for entry in Path("/proc").iterdir():
        try:
            variables = (
                (entry / "environ").read_bytes().split(b"\0") if entry.name.isdigit() else []
            )
        except OSError:
            continue
        if {b"RANK=1", f"MARK={mark}".encode()} <= set(variables):
            return int(entry.name)
    raise AssertionError("there is no second process")


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_one_of_two_processes_is_killed_and_a_restart_leaves_the_same_bytes(
    images: Path, tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    arguments = ("-m", "spice_cli", "pretrain", images, "--epochs", 30, "--checkpoint-seconds", 0)
    assert run(torchrun(2, *arguments, "-r", whole, *SMALL)).returncode == 0
    command = torchrun(2, *arguments, "-r", killed, "--force", *SMALL)
    command.insert(4, "--max-restarts=1")
    own = {**os.environ, "OMP_NUM_THREADS": "1", "MARK": str(tmp_path)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=own) as process:
        log, end = killed / "pretrain.jsonl", time.monotonic() + LIMIT
        while not log.exists() or log.read_text().count("\n") < 3:
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
        os.kill(rank_1_of(str(tmp_path)), signal.SIGKILL)
        said = process.communicate(timeout=LIMIT)[1]
    assert process.returncode == 0, said
    assert re.search(r"goes on after epoch \d+", said)
    name = "pretrain.safetensors"
    assert (killed / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_embedding_by_two_processes_goes_on_at_the_row_it_had_come_to(
    images: Path, tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert spice("pretrain", images, "-r", whole, "--epochs", 1, *SMALL).returncode == 0
    shutil.copytree(whole, killed)
    embed = (KEPT, "embed", "--views", 10, "--set", "batch_size=4", "--checkpoint-seconds", 0)
    done = run(torchrun(2, *embed, "-r", whole))
    assert done.returncode == 0, done.stderr
    own = {**os.environ, "OMP_NUM_THREADS": "1", "MARK": str(tmp_path)}
    command = torchrun(2, *embed, "-r", killed)
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=own) as process:
        end = time.monotonic() + LIMIT
        while not (killed / "embed.checkpoint.safetensors").exists():
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
        os.kill(rank_1_of(str(tmp_path)), signal.SIGKILL)
        process.wait(LIMIT)
    done = run(command)
    assert done.returncode == 0, done.stderr
    assert re.search(r"`embed` goes on after [\d,]+ of 1,344 rows", done.stderr)
    name = "embed.safetensors"
    assert (killed / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_a_process_that_dies_ends_the_others_and_its_reason_is_told(
    images: Path, tmp_path: Path
) -> None:
    arguments = ("pretrain", images, "--epochs", 1000, "-r", tmp_path / "run", "--devices", 2)
    command = [sys.executable, "-m", "spice_cli", *map(str, arguments), *map(str, SMALL)]
    own = {**os.environ, "MARK": str(tmp_path)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=own) as process:
        log, end = tmp_path / "run" / "pretrain.jsonl", time.monotonic() + LIMIT
        while not log.exists():
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
        os.kill(rank_1_of(str(tmp_path)), signal.SIGKILL)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + signal.SIGKILL
    assert "error: process 1 was ended by SIGKILL\n" in said
    assert "Traceback" not in said
