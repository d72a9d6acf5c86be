"""What the next epoch of a stage needs, as the tensors of a checkpoint and back."""

from collections.abc import Mapping

from torch import Tensor, nn
from torch.optim import Optimizer

from spice_cli.heads.deal import Deal, axes
from spice_cli.run.checkpoint import pack_optimizer, unpack_optimizer

Parts = Mapping[str, nn.Module | Optimizer]


def pack(parts: Parts, deal: Deal) -> dict[str, Tensor]:
    """Return the state of all parts, `<part>/<name>`: of all heads where they are dealt out."""
    tensors: dict[str, Tensor] = {}
    for name, part in parts.items():
        state = part.state_dict() if isinstance(part, nn.Module) else pack_optimizer(part)
        tensors |= {f"{name}/{key}": value for key, value in state.items()}
    if deal.world == 1:
        return tensors
    return {name: deal.whole(each, _axis(parts, name)) for name, each in tensors.items()}


def unpack(parts: Parts, tensors: Mapping[str, Tensor], deal: Deal) -> None:
    """Give the parts the state that `pack` took, or of each head the share of this process."""
    if deal.world > 1:
        tensors = {name: deal.own(each, _axis(parts, name)) for name, each in tensors.items()}
    for name, part in parts.items():
        prefix = f"{name}/"
        own = {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}
        if isinstance(part, nn.Module):
            part.load_state_dict(own)
        else:
            unpack_optimizer(part, own)


def _axis(parts: Parts, name: str) -> int:
    """Return along which axis of a tensor of the state heads lie; moments have the parameter's."""
    owner, key = name.split("/", 1)
    part = parts[owner]
    if isinstance(part, nn.Module):
        tensor = part.state_dict(keep_vars=True)[key]
    else:
        parameters = [each for group in part.param_groups for each in group["params"]]
        tensor = parameters[int(key.split(".")[1])]
    modules = [each for each in parts.values() if isinstance(each, nn.Module)]
    return next(axis for module in modules for each, axis in axes(module) if each is tensor)
