import pytest
import torch

from spice_cli.ops import hardware
from spice_cli.ops.hardware import free_memory, memory


def test_memory_is_the_machines_or_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPICE_MEMORY", raising=False)
    assert 2**28 < memory() <= hardware._machine()


def test_a_limit_of_the_container_counts(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPICE_MEMORY", raising=False)
    (tmp_path / "a").write_text("123456\n")
    (tmp_path / "b").write_text("max\n")
    monkeypatch.setattr(hardware, "LIMITS", [str(tmp_path / name) for name in "abc"])
    assert memory() == 123456


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
