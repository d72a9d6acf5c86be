"""One update of semi-supervised training: labelled and unlabelled images in one forward pass."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spice_cli.config.semi import Semi
from spice_cli.models.classifier import Classifier
from spice_cli.ops.residence import take
from spice_cli.ops.schedule import cosine_7_16, ema_decay
from spice_cli.semi.average import follower
from spice_cli.semi.method import reads_features
from spice_cli.stages.features import strong_view, weak_view
from spice_cli.stages.job import Job


class Step:
    """Draws images of `pool` (n, 3, h, w) uint8, and trains model, method and moving average."""

    def __init__(
        self,
        job: Job[Semi],
        pool: Tensor,
        model: Classifier,
        average: Classifier,
        method: nn.Module,
        optimizer: torch.optim.Optimizer,
    ) -> None:
        self.job, self.pool = job, pool
        self.model, self.method, self.optimizer = model, method, optimizer
        self.follow = follower(average, model)
        self.labelled = job.config.batch_size
        self.unlabelled = job.config.batch_size * job.config.ratio
        self.images = self.labelled + self.unlabelled
        self.shows_features = reads_features(type(method))

    def __call__(
        self, step: int, known: tuple[Tensor, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Make update `step`, from 0, with images that have a label: index and label (m,).

        Returns the loss (), and of the unlabelled images the guesses (u,) and how far they teach.
        """
        config, (index, label) = self.job.config, known
        rate = self.rate(step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        drawn = _draw(len(index), self.labelled, generator)
        rows = torch.cat([index[drawn], _draw(len(self.pool), self.unlabelled, generator)])
        features, outputs = self._outputs(rows, generator)
        sizes = [self.labelled, self.unlabelled, self.unlabelled]
        logits, weak, strong = torch.split(outputs, sizes)
        seen = (features[self.labelled : self.images],) if self.shows_features else ()
        taught, guess, trust = self.method(weak, strong, *seen)
        loss = F.cross_entropy(logits, label[drawn]) + config.weight * taught
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self.optimizer.step()
        self.follow(ema_decay(step, config.ema))
        return loss.detach(), guess, trust

    def rate(self, step: int) -> float:
        """Return the learning rate of an update."""
        return cosine_7_16(step, self.job.config.steps or 0, base=self.job.config.lr)

    def rehearse(self) -> Tensor:
        """Return a scalar that depends on the outputs for a batch like those to come."""
        rows = torch.zeros(self.images, dtype=torch.long, device=self.job.device)
        return self._outputs(rows, self.job.generator("rehearsal"))[1].mean()

    def _outputs(self, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Features and logits of weak views of all rows, then strong ones of the unlabelled."""
        config, part = self.job.config, take(self.pool, rows)
        weak = weak_view(config.weak, generator)(part)
        strong = strong_view(config.strong, generator)(part[self.labelled :])
        pixels = torch.cat([weak, strong]).contiguous(memory_format=torch.channels_last)
        with self.job.autocast():
            features = self.model.backbone(pixels)
            return features, self.model.fc(features).float()


def _draw(n: int, size: int, generator: torch.Generator) -> Tensor:
    return torch.randint(n, (size,), generator=generator, device=generator.device)
