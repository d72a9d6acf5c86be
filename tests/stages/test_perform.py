import pytest
import torch

from spice_cli.errors import UsageError
from spice_cli.stages.perform import choose_device, choose_precision, environment

CPU = torch.device("cpu")


def test_auto_takes_a_gpu_where_there_is_one() -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert choose_device("auto").type == expected
    assert choose_device("cpu") == CPU


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "meta", "", "cpu;", "mps:7"])
def test_a_device_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="there is no device") as caught:
        choose_device(name)
    assert caught.value.hint == "--device auto"


@pytest.mark.parametrize("capable", [True, False])
def test_bf16_is_taken_where_the_hardware_multiplies_it(
    capable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": capable})
    assert choose_precision("auto", CPU) == ("bf16" if capable else "fp32")
    assert choose_precision("bf16", CPU) == "bf16"
    assert choose_precision("fp32", CPU) == "fp32"


def test_the_environment_says_what_computed() -> None:
    found = environment(CPU, "bf16")
    assert (found.torch, found.device, found.precision) == (torch.__version__, "cpu", "bf16")
