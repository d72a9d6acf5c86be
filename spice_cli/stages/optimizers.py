"""The optimisers of a pretraining, each parameter at the rate that its method asks for."""

from typing import Any

import torch
from torch import nn

from spice_cli.config.pretrain import Pretrain
from spice_cli.methods.plan import Rate
from spice_cli.ops.lars import Lars
from spice_cli.ops.muon import muon, sgd


def optimizers(method: nn.Module, config: Pretrain) -> list[torch.optim.Optimizer]:
    """Return what trains the parameters of `method`, in groups by its `rates()`.

    Adam is Kingma and Ba's (https://arxiv.org/abs/1412.6980), with `momentum` as its first beta;
    LARS is `ops.lars`, whose `trust` is .001.
    """
    asked: dict[str, Rate] = getattr(method, "rates", dict)()
    rates = {parameter: _rate(name, asked) for name, parameter in method.named_parameters()}
    found = _alike(method, config)
    for optimizer in found:
        _regroup(optimizer, rates)
    return found


def schedule(found: list[torch.optim.Optimizer], factor: float) -> None:
    """Set the rate of every group to `factor` of its highest, unless it is fixed."""
    for optimizer in found:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * (1.0 if group["fixed"] else factor)


def _alike(method: nn.Module, config: Pretrain) -> list[torch.optim.Optimizer]:
    shared = {"lr": config.lr, "momentum": config.momentum, "weight_decay": config.weight_decay}
    if config.optimizer == "muon":
        return muon(method, **shared, adam_lr=config.adam_lr)
    if config.optimizer == "sgd":
        return sgd(method, **shared, nesterov=config.nesterov)
    trained = [p for p in method.parameters() if p.requires_grad]
    if config.optimizer == "lars":
        return [Lars(trained, **shared)]
    return [
        torch.optim.Adam(
            trained,
            lr=config.lr,
            betas=(config.momentum, 0.999),
            weight_decay=config.weight_decay,
            fused=True,
        )
    ]


def _rate(name: str, rates: dict[str, Rate]) -> Rate:
    fitting = [key for key in rates if name.startswith(key)]
    return rates[max(fitting, key=len)] if fitting else Rate()


def _regroup(optimizer: torch.optim.Optimizer, rates: dict[nn.Parameter, Rate]) -> None:
    groups: list[dict[str, Any]] = list(optimizer.param_groups)
    optimizer.param_groups.clear()
    for group in groups:
        for rate in dict.fromkeys(rates[parameter] for parameter in group["params"]):
            own = {
                "params": [p for p in group["params"] if rates[p] == rate],
                "initial_lr": group["lr"] * rate.factor,
                "fixed": rate.fixed,
            }
            optimizer.add_param_group({**group, **own})
