"""An unfinished stage: enough to continue it to the same bits."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from pydantic import JsonValue
from pydantic_core import to_jsonable_python
from torch import Tensor
from torch.optim import Optimizer

from spice_cli.errors import InvalidError, MissingError
from spice_cli.json_text import parse_json
from spice_cli.run import files, tensors
from spice_cli.run.artifact import checkpoint_file, rows_folder
from spice_cli.run.manifest import Stage


def fingerprint(**parts: object) -> str:
    """Hash what a result depends on (config, inputs, seed, device ...), the order of keys aside."""
    return hashlib.sha256(_canonical(to_jsonable_python(parts))).hexdigest()


class Checkpoint:
    """The one checkpoint of a stage, which continues only work of the same `key`.

    Tensors are stored row by row whatever their memory format; copy them into tensors of the right
    format (as `load_state_dict` and `unpack_optimizer` do) and training continues to the same bits.
    """

    def __init__(self, run_path: Path, stage: Stage, key: str) -> None:
        self.path = checkpoint_file(run_path, stage)
        self.rows = rows_folder(run_path, stage)
        """Where rows lie that are kept beside it."""
        self.stage = stage
        self.key = key
        self.other = False
        """Whether `load` found a checkpoint of other settings, and so left it alone."""

    def load(self) -> tuple[dict[str, Tensor], dict[str, JsonValue]] | None:
        """Return the tensors and the notes saved last, on the CPU, or none of this key.

        Raises:
            InvalidError: the checkpoint is damaged.
        """
        self.other = False
        try:
            loaded = tensors.load(self.path)
            head = parse_json(loaded.metadata["checkpoint"], f"`{self.path}`")
            if head["sha256"] != _digest(loaded.tensors, head["key"], head["meta"]):
                raise InvalidError("changed")
        except MissingError:
            return None
        except (InvalidError, KeyError, TypeError, ValueError) as error:
            raise InvalidError(
                f"the checkpoint `{self.path}` is damaged",
                hint=f"spice {self.stage} --force -r {files.quoted(self.path.parent)}",
            ) from error
        if head["key"] != self.key:
            self.other = True
            return None
        return loaded.tensors, head["meta"]

    def save(self, state: Mapping[str, Tensor], meta: Mapping[str, JsonValue]) -> None:
        """Replace the checkpoint, by rename.

        Raises:
            InvalidError: it cannot be written.
        """
        notes, here = to_jsonable_python(meta), {k: t.detach().cpu() for k, t in state.items()}
        head = {"key": self.key, "meta": notes, "sha256": _digest(here, self.key, notes)}
        with files.replacing(self.path) as partial:
            tensors.save(partial, here, {"checkpoint": _canonical(head).decode()})

    def discard(self) -> None:
        """Remove the checkpoint, if there is one, and the rows beside it."""
        files.remove(self.path)
        files.remove_folder(self.rows)


def pack_optimizer(optimizer: Optimizer) -> dict[str, Tensor]:
    """Return `optimizer.<i>.<key>` for parameter i: the moments and steps of SGD, Adam or AdamW.

    Rates and other settings are not part of it: they follow from the config.
    """
    return {
        f"optimizer.{index}.{key}": value
        for index, state in optimizer.state_dict()["state"].items()
        for key, value in state.items()
        if isinstance(value, Tensor)
    }


def unpack_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimizer the state that `pack_optimizer` took from its like.

    Moments get the memory format of their parameter, as they had, so that the same kernels run on
    them; names that do not start with `optimizer.` are passed over.

    Raises:
        InvalidError: a tensor fits no parameter.
    """
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if not name.startswith("optimizer."):
            continue
        _, index, key = name.split(".", 2)
        parameter = parameters[int(index)] if int(index) < len(parameters) else None
        if parameter is None or tensor.shape not in (parameter.shape, torch.Size()):
            raise InvalidError(f"tensor `{name}` of the checkpoint fits no parameter")
        moment = key != "step" and tensor.shape == parameter.shape
        like = torch.empty_like(parameter.detach() if moment else tensor, dtype=tensor.dtype)
        state.setdefault(int(index), {})[key] = like.copy_(tensor)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _digest(state: Mapping[str, Tensor], key: str, meta: Mapping[str, JsonValue]) -> str:
    digest = hashlib.sha256(_canonical([key, cast(JsonValue, meta)]))
    for name in sorted(state):
        spec = tensors.spec(state[name])
        digest.update(_canonical([name, spec.dtype, spec.shape]))
        digest.update(tensors.bytes_of(state[name]))
    return digest.hexdigest()
