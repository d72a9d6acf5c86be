"""SCAN's second step: what the network is sure of, it teaches itself on strong views.

https://arxiv.org/abs/2005.12320, section 2.3. As in the reference, the view that gives the label
is the image as it is, pseudo-labels come from the network in training mode, the last epoch counts,
and with `ema` the moving average replaces the weights after every step. Where heads were trained
on frozen features, which are unit rows, the network starts from them divided by the mean length of
what its backbone puts out.
"""

import torch
from pydantic import JsonValue
from torch import Tensor

from spice_cli.errors import CollapsedError
from spice_cli.heads.scan_config import ScanConfig
from spice_cli.heads.scan_network import BATCH, Network, autocast, classifier, make_optimizer
from spice_cli.heads.source import Advance, Parts, Pixels, Source
from spice_cli.ops.residence import take
from spice_cli.ops.scan import confident_loss


class ConfidentStep:
    """A classifier that learns from its own sure predictions."""

    def __init__(self, source: Source, pixels: Pixels, own: ScanConfig) -> None:
        self.n, self.clusters, self.dtype = len(source.embeddings), source.clusters, source.dtype
        self.pixels, self.own = pixels, own.confident
        self.device, backbone = source.embeddings.device, pixels.backbone()
        zeros = torch.zeros(backbone.features, source.clusters, device=self.device)
        self.model = classifier(backbone, zeros, zeros[0])
        self.optimizer = make_optimizer(
            self.model.parameters(),
            self.own.optimizer,
            lr=self.own.lr,
            weight_decay=self.own.weight_decay,
            momentum=own.momentum,
        )
        self.size = min(self.own.batch_size or 1000, self.n)
        self.parts: Parts = {"model": self.model, "second_optimizer": self.optimizer}

    def begin(self, best: Network) -> None:
        """Start from the best head and, where that was trained, its backbone."""
        weight, bias = best.best_head()
        if best.backbone is not None:
            self.model.backbone.load_state_dict(best.backbone.state_dict())
        else:
            weight = weight / self._length()
        with torch.no_grad():
            self.model.fc.weight.copy_(weight.T)
            self.model.fc.bias.copy_(bias)

    def epoch(self, generator: torch.Generator, advance: Advance) -> dict[str, JsonValue]:
        """Walk once through the training images, whole batches only.

        Raises CollapsedError if not one of them was sure enough to learn from.
        """
        device, pixels = self.device, self.pixels
        self.model.train()
        sizes = torch.zeros(self.clusters, dtype=torch.int64, device=device)
        total = torch.zeros(2, device=device)
        order = torch.randperm(self.n, generator=generator, device=device)
        batches = order[: self.n // self.size * self.size].view(-1, self.size)
        for rows in batches:
            part = take(pixels.images, rows)
            with torch.no_grad():
                weak = self._logits(pixels.plain(part))
            strong = self._logits(pixels.strong(part, generator))
            loss, kept = confident_loss(
                weak, strong, threshold=self.own.threshold, balance=self.own.balance
            )
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            self._step()
            label = weak.argmax(1)
            sizes.scatter_add_(0, label, torch.ones_like(label))
            total += torch.stack([loss.detach(), kept.float().mean()])
            advance(self.size)
        mean, confident = (total / len(batches)).tolist()
        if confident == 0:
            raise CollapsedError(
                f"`self_label`: the network is not sure of one image by {self.own.threshold}",
                hint="--set confident.threshold=0.9",
            )
        return {
            "loss": mean,
            "confident": confident,
            "largest_share": float(sizes.max() / sizes.sum()),
            "empty": int((sizes == 0).sum()),
        }

    @torch.no_grad()
    def result(self) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the probabilities (m, k) of all images, and the network as `model.*`."""
        self.model.eval()
        parts = torch.split(self.pixels.images, BATCH)
        probs = torch.cat([self._logits(self.pixels.plain(part)).softmax(1) for part in parts])
        return probs, {f"model.{k}": v for k, v in self.model.state_dict().items()}

    def _logits(self, pixels: Tensor) -> Tensor:
        with autocast(pixels.device, self.dtype):
            logits: Tensor = self.model(pixels)
        return logits.float()

    def _step(self) -> None:
        parameters = [p.detach() for p in self.model.parameters()]
        before = [p.clone() for p in parameters] if self.own.ema else []
        self.optimizer.step()
        for new, old in zip(parameters, before, strict=False):
            new.lerp_(old, self.own.ema)

    @torch.no_grad()
    def _length(self) -> Tensor:
        """Mean length () of the features of all training images."""
        self.model.eval()
        total = torch.zeros((), device=self.device)
        for part in torch.split(self.pixels.images[: self.n], BATCH):
            with autocast(self.device, self.dtype):
                total += self.model.backbone(self.pixels.plain(part)).norm(dim=1).sum()
        return total / self.n
