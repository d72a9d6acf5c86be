"""What each stage to come would take, timed on this machine."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from spice_cli.config.embed import Embed
from spice_cli.config.pretrain import Pretrain
from spice_cli.config.self_label import SelfLabel
from spice_cli.config.semi import Semi
from spice_cli.errors import SpiceError
from spice_cli.ops.costs import FLOAT, feature_bytes, image_bytes
from spice_cli.ops.hardware import memory
from spice_cli.ops.held import embedding, labelling, mapped, predicting, selecting
from spice_cli.ops.schedule import semi_steps
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages import pace
from spice_cli.stages.backbone import build, image_size, restore
from spice_cli.stages.lines import Line
from spice_cli.stages.pace import Pace, Timed, settled
from spice_cli.stages.perform import choose_precision
from spice_cli.stages.pretrained import Found
from spice_cli.stages.room import kept
from spice_cli.stages.select_reliable import resolve, selection

PROCESS = 950 * 2**20
"""Bytes of a process that has loaded everything, and worked on a few images."""
COPIES = 4
"""Of the weights in training: themselves, gradients, momenta, a moving average."""
BACK = 2
"""Times what a forward pass keeps: with its gradients, and the views that it is made of."""
SEARCHED = 32
"""What an index takes of the time of comparing all with all, times the root of the images."""
SLACK = 1.3
"""The longest time, as a multiple of the slowest that was measured."""


class Look:
    """Times what one stage after another would do."""

    def __init__(
        self,
        run: Run,
        configs: Mapping[str, Any],
        clusters: int,
        device: torch.device,
        network: Found | None,
    ) -> None:
        self.run, self.configs, self.clusters = run, configs, clusters
        self.device, self.network = device, network
        data = run.manifest.data
        self.train, self.images = data.train, data.train + data.test
        self.side = image_size(run)
        self.memory = memory()
        self.pixels = mapped(image_bytes(self.images + data.unlabelled, self.side), self.memory)
        self.pretrain: Pretrain = configs["pretrain"]
        self.pace: Pace | None = None
        self.width = 0

    def at(self, line: Line) -> Line:
        """Fill in the line of a stage that is to be done."""
        found: Line = getattr(self, "_" + line.stage.replace("-", "_"))(line)
        return replace(
            found,
            memory=PROCESS + self.pixels + found.memory,
            peak=max(found.peak, found.disk),
        )

    def _measured(self) -> Pace:
        if self.pace is None:
            precision = choose_precision(self.pretrain.precision, self.device)
            self.pace = pace.pretraining(
                self.pretrain, self.side, self.device, precision, self.clusters
            )
        return self.pace

    def _pretrain(self, line: Line) -> Line:
        found, config = self._measured(), self.pretrain
        images = self.train + self.run.manifest.data.unlabelled
        steps = max(1, images // min(config.batch_size, images))
        return replace(
            line,
            what=f"{config.epochs} epochs, {config.epochs * steps:,} updates of {found.batch}",
            seconds=_range(found.timed.times(config.epochs * steps)),
            memory=BACK * found.saved + COPIES * found.weights + (found.left + 24) * self.images,
            disk=found.weights + found.left * self.images,
        )

    def _embed(self, line: Line) -> Line:
        config: Embed = self.configs["embed"]
        backbone = self._backbone()
        self.width = int(backbone.features)
        precision = choose_precision(config.precision, self.device)
        each = pace.embedding(backbone, config, self.side, self.device, precision)
        views = 1 + config.flip + 2 * config.views
        rows = feature_bytes(self.images, self.width, config.views)
        return replace(
            line,
            what=f"{self.images:,} images" + (f", seen {views} times" if views > 1 else ""),
            seconds=_range(each.times(views * self.images)),
            memory=embedding(self.images, self.width) + mapped(rows, self.memory),
            disk=rows,
            peak=2 * rows if kept(rows, self.device) else rows,
        )

    def _self_label(self, line: Line) -> Line:
        config: SelfLabel = self.configs["self-label"]
        width = self._features()
        views = self.configs["embed"].views if "embed" in self.configs else 0
        spent = pace.heads(config, self.clusters, self.train, width, self.device)
        return replace(
            line,
            what=f"`{config.method}`, {self.clusters} clusters",
            seconds=_range(spent),
            memory=labelling(
                config.method,
                self.images,
                width,
                self.clusters,
                heads=settled(config, self.clusters, self.train, width)[1].heads,
                views=views,
            ),
            disk=FLOAT * self.images * self.clusters,
        )

    def _select_reliable(self, line: Line) -> Line:
        config = resolve(self.configs["select-reliable"], self.run)
        width, share = self._features(), 1.0
        if config.index != "exact":
            share = min(1.0, SEARCHED / self.train**0.5)
        rows = torch.randn(2_000, width, device=self.device)
        block = pace.timed(lambda: (rows @ rows.T).topk(50), self.device)
        return replace(
            line,
            what=f"`{config.method}`",
            seconds=_range(block.times(max(1.0, share * (self.train / len(rows)) ** 2))),
            memory=selecting(
                self.images,
                width,
                self.clusters,
                neighbors=selection(config).neighbors,
                index=config.index,
            ),
            disk=20 * self.train,
        )

    def _semi(self, line: Line) -> Line:
        config: Semi = self.configs["semi"]
        pool = self.train + (self.run.manifest.data.unlabelled if config.unlabelled else 0)
        planned = config.steps or semi_steps(self.train // 2, pool, config.batch_size, config.ratio)
        record = self.run.manifest.stages.get(Stage.PRETRAIN)
        if self.network is not None or (record is not None and record.imported):
            return replace(line, what=f"{planned:,} steps at most, not timed")
        found = self._measured()
        each = found.semi_step(config.batch_size, config.ratio, self.side)
        spread = found.timed.times(planned * each / found.step)
        views = config.batch_size * (1 + 2 * config.ratio)
        share = views / (found.batch * found.crops) * (self.side / found.side) ** 2
        return replace(
            line,
            what=f"{planned:,} steps at most, of {config.batch_size} images with a label",
            seconds=(_range(spread)[0] / 3, _range(spread)[1]),
            memory=round(BACK * share * found.saved)
            + COPIES * found.weights
            + predicting(self.images, self.clusters),
            disk=found.weights + FLOAT * self.images * self.clusters,
        )

    def _backbone(self) -> Any:
        if self.network is not None and Stage.PRETRAIN not in self.run.manifest.stages:
            with torch.random.fork_rng(devices=[]):
                found = self.network.network.build(self.network.facts.at(self.side))
            return found.to(self.device)
        try:
            return restore(self.run, self.device)
        except SpiceError:
            with torch.random.fork_rng(devices=[]):
                ours = build(self.pretrain.backbone, self.pretrain, self.side)
            return ours.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _features(self) -> int:
        if not self.width:
            record = self.run.manifest.stages.get(Stage.EMBED)
            stored = record.tensors["embeddings"].shape[1] if record else 0
            self.width = stored or int(self._backbone().features)
        return self.width


def _range(spent: Timed) -> tuple[float, float]:
    return spent.least, SLACK * spent.most
