import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from spice_cli.errors import InvalidError
from spice_cli.run.checkpoint import Checkpoint, fingerprint, pack_optimizer, unpack_optimizer
from spice_cli.run.manifest import Stage

KEY = fingerprint(config={"lr": 0.1}, seed=0)
Make = Callable[[list[nn.Parameter]], torch.optim.Optimizer]
OPTIMIZERS: dict[str, Make] = {
    "sgd": lambda p: torch.optim.SGD(p, 0.1),
    "momentum": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True, weight_decay=1e-4),
    "adam": lambda p: torch.optim.Adam(p, 0.01, amsgrad=True),
    "adamw": lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.1),
    "fused": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, fused=True),
    "fused adamw": lambda p: torch.optim.AdamW(p, 0.01, fused=True),
    "foreach": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, foreach=True),
}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        g = torch.Generator().manual_seed(3)
        self.conv = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.short = nn.Parameter(torch.ones(8, dtype=torch.bfloat16))
        self.scale = nn.Parameter(torch.ones(()))
        self.unused = nn.Parameter(torch.ones(2))
        for parameter in (self.conv.weight, self.conv.bias):
            nn.init.normal_(parameter, generator=g)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return (self.norm(self.conv(x)).mean((2, 3)) * self.short).square().sum() * self.scale


def train(net: Net, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        g = torch.Generator().manual_seed(step)
        images = torch.randn(4, 3, 8, 8, generator=g).contiguous(memory_format=torch.channels_last)
        optimizer.zero_grad()
        net(images).backward()
        optimizer.step()


def bits(state: dict[str, Tensor]) -> dict[str, bytes]:
    return {
        name: tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        for name, tensor in state.items()
    }


def start(make: Make) -> tuple[Net, torch.optim.Optimizer]:
    net = Net().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net, make(list(net.parameters()))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_goes_on_to_the_same_bits(tmp_path: Path, name: str) -> None:
    straight, optimizer = start(OPTIMIZERS[name])
    train(straight, optimizer, range(6))

    net, first = start(OPTIMIZERS[name])
    train(net, first, range(3))
    Checkpoint(tmp_path, Stage.PRETRAIN, KEY).save(
        {**net.state_dict(), **pack_optimizer(first)}, {"epoch": 3}
    )
    again, second = start(OPTIMIZERS[name])
    found = Checkpoint(tmp_path, Stage.PRETRAIN, KEY).load()
    assert found is not None
    tensors, meta = found
    own = {k: t for k, t in tensors.items() if not k.startswith("optimizer.")}
    again.load_state_dict(own)
    unpack_optimizer(second, tensors)
    assert bits(pack_optimizer(second)) == bits(pack_optimizer(first))
    for index, state in first.state_dict()["state"].items():
        for key, tensor in state.items():
            if tensor is not None:
                assert second.state_dict()["state"][index][key].stride() == tensor.stride()
    train(again, second, range(int(str(meta["epoch"])), 6))
    assert bits(again.state_dict()) == bits(straight.state_dict())
    assert bits(pack_optimizer(second)) == bits(pack_optimizer(optimizer))


def test_an_optimizer_before_its_first_step_has_no_state() -> None:
    net, optimizer = start(OPTIMIZERS["momentum"])
    assert pack_optimizer(optimizer) == {}
    unpack_optimizer(optimizer, {})
    train(net, optimizer, range(1))


@pytest.mark.parametrize("name", ["optimizer.9.momentum_buffer", "optimizer.0.momentum_buffer"])
def test_a_state_that_fits_no_parameter_is_named(name: str) -> None:
    _, optimizer = start(OPTIMIZERS["momentum"])
    with pytest.raises(InvalidError, match=f"tensor `{name}` .* fits no parameter"):
        unpack_optimizer(optimizer, {name: torch.zeros(1, 2, 3)})


def test_tensors_and_notes_survive(tmp_path: Path) -> None:
    weight = torch.randn(2, 3, 4, 5)
    state = {
        "weight": weight,
        "tied": weight,
        "part": weight[:, 1:],
        "last": weight.contiguous(memory_format=torch.channels_last),
        "half": weight.bfloat16(),
        "nan": torch.tensor(torch.nan),
        "random": torch.Generator().manual_seed(1).get_state(),
    }
    checkpoint = Checkpoint(tmp_path, Stage.SEMI, KEY)
    assert checkpoint.load() is None
    checkpoint.save(state, {"epoch": 3, "seconds": 0.1 + 0.2, "why": "ü", "list": [1, None]})
    found = Checkpoint(tmp_path, Stage.SEMI, KEY).load()
    assert found is not None
    assert bits(found[0]) == bits(state)
    assert found[1] == {"epoch": 3, "seconds": 0.1 + 0.2, "why": "ü", "list": [1, None]}
    assert [file.name for file in tmp_path.iterdir()] == ["semi.checkpoint.safetensors"]
    checkpoint.discard()
    checkpoint.discard()
    assert checkpoint.load() is None


def test_a_checkpoint_of_other_settings_is_ignored_and_told(tmp_path: Path) -> None:
    Checkpoint(tmp_path, Stage.SEMI, KEY).save({"x": torch.ones(1)}, {})
    other = Checkpoint(tmp_path, Stage.SEMI, fingerprint(config={"lr": 0.2}, seed=0))
    assert (other.load(), other.other) == (None, True)
    assert Checkpoint(tmp_path, Stage.SEMI, KEY).load() is not None
    other.save({"x": torch.zeros(1)}, {})
    assert (other.load() is not None, other.other) == (True, False)


def test_any_flipped_byte_of_a_checkpoint_is_noticed(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, Stage.SEMI, KEY)
    checkpoint.save({"x": torch.ones(3)}, {"epoch": 1})
    raw = checkpoint.path.read_bytes()
    for at in range(len(raw)):
        bad = bytearray(raw)
        bad[at] ^= 1
        checkpoint.path.write_bytes(bad)
        with pytest.raises(InvalidError, match="checkpoint `.*` is damaged") as failure:
            checkpoint.load()
        assert failure.value.hint == f"spice semi --force -r {tmp_path}"
        assert failure.value.exit_code == 4


@pytest.mark.parametrize("kept", [0, 8, 50, -1])
def test_a_truncated_checkpoint_is_noticed(tmp_path: Path, kept: int) -> None:
    checkpoint = Checkpoint(tmp_path, Stage.SEMI, KEY)
    checkpoint.save({"x": torch.ones(3)}, {"epoch": 1})
    checkpoint.path.write_bytes(checkpoint.path.read_bytes()[:kept])
    with pytest.raises(InvalidError, match="is damaged"):
        checkpoint.load()


def test_a_failure_while_saving_keeps_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = Checkpoint(tmp_path, Stage.SEMI, KEY)
    checkpoint.save({"x": torch.ones(3)}, {"epoch": 1})
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left")))
        with pytest.raises(InvalidError, match="could not write .*semi.checkpoint"):
            checkpoint.save({"x": torch.zeros(3)}, {"epoch": 2})
    found = checkpoint.load()
    assert found is not None
    assert found[1] == {"epoch": 1}


def test_a_fingerprint_depends_on_every_part_but_not_on_their_order() -> None:
    assert fingerprint(a=1, b={"x": (1, 2), "y": 0.5}) == fingerprint(
        b=json.loads('{"y": 0.5, "x": [1, 2]}'), a=1
    )
    assert len({fingerprint(a=a, b=b) for a in (1, 2) for b in ("1", None, 0.1)}) == 6
