from pathlib import Path

import pytest
import torch

from spice_cli.cores import cores
from spice_cli.ops import hardware
from spice_cli.ops.hardware import free_memory, memory


def test_memory_is_the_machines_or_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPICE_MEMORY", raising=False)
    assert 2**28 < memory() <= hardware._machine()


V2 = {"memory.max": "max", "job/memory.max": "5000", "job/step/memory.max": "max"}
V1 = {
    "memory/memory.limit_in_bytes": "9223372036854771712",
    "memory/job/memory.limit_in_bytes": "5000",
    "memory/job/step/memory.limit_in_bytes": "7000",
}


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("", {"memory.max": "123456"}, 123456),
        ("", {"memory/memory.limit_in_bytes": "123456"}, 123456),
        ("0::/\n", {"memory.max": "123456"}, 123456),
        ("0::/job/step\n", V2, 5000),
        ("0::/job/step\n", {**V2, "job/step/memory.max": "3000"}, 3000),
        ("5:cpuset:/\n4:cpu,memory:/job/step\n0::/\n", V1, 5000),
        ("0::/../job\n", {"memory.max": "6000", "job/memory.max": "5000"}, 6000),
        ("nonsense\n", {"memory.max": "4000"}, 4000),
        ("0::/a:b\n", {"memory.max": "4000"}, 4000),
    ],
)
def test_the_least_limit_of_the_groups_that_hold_this_process_counts(
    own: str,
    files: dict[str, str],
    expected: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SPICE_MEMORY", raising=False)
    monkeypatch.setattr(hardware, "OWN", tmp_path / "own")
    monkeypatch.setattr(hardware, "CGROUPS", tmp_path / "groups")
    (tmp_path / "own").write_text(own)
    for name, text in files.items():
        (tmp_path / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "groups" / name).write_text(f"{text}\n")
    assert memory() == expected


def test_cores_are_those_the_process_may_run_on_and_not_its_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 3, 7}, raising=False)
    assert torch.get_num_threads() == 1
    assert cores() == 3
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert cores() == 1


@pytest.mark.parametrize(("text", "bytes"), [("2", 2**31), ("0.5", 2**29)])
def test_a_person_may_say_otherwise(text: str, bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPICE_MEMORY", text)
    assert memory() == bytes


@pytest.mark.parametrize(("text", "bytes"), [("2", 2**31), ("0", 0)])
def test_a_person_may_say_how_much_a_gpu_has_free(
    text: str, bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPICE_DEVICE_MEMORY", text)
    assert free_memory(torch.device("cuda")) == bytes


def test_what_torch_holds_and_does_not_use_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPICE_DEVICE_MEMORY", raising=False)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (100, 500))
    monkeypatch.setattr("torch.cuda.memory_reserved", lambda device: 50)
    monkeypatch.setattr("torch.cuda.memory_allocated", lambda device: 30)
    assert free_memory(torch.device("cuda")) == 120
