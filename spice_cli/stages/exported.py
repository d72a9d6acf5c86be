"""A run's network as other programs get it: pixels in, probabilities, features and clusters out."""

import torch
from torch import Tensor, nn

from spice_cli.run.curation import Edit, Merge
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.assignments import newest
from spice_cli.stages.edits import has_splits
from spice_cli.stages.model import Model, OfUnitRows
from spice_cli.stages.placed import curation_of
from spice_cli.stages.restored import embedder_of, model_of

OUTPUTS = ("probs", "embedding", "cluster")
Outputs = tuple[Tensor, Tensor, Tensor]
CPU = torch.device("cpu")


class Exported(nn.Module):
    """Pixels (b, 3, s, s) in 0 to 1 to probabilities (b, k), unit features (b, d), clusters (b,).

    The clusters, int64, are those of the probabilities after the merges and splits of a person.
    """

    def __init__(self, model: Model, edits: tuple[Edit, ...], apart: Model | None) -> None:
        super().__init__()
        self.model, self.apart, self.edits = model, apart, edits
        for number, edit in enumerate(edits):
            if isinstance(edit, Merge):
                self.register_buffer(f"clusters{number}", torch.tensor(edit.clusters[1:]))
            else:
                self.register_buffer(f"parts{number}", torch.tensor(edit.parts))
                self.register_buffer(f"centers{number}", torch.tensor(edit.centers))

    def forward(self, pixels: Tensor) -> Outputs:
        """Say all three of each image."""
        probs, embedding = self.model(pixels)
        cluster = probs.argmax(1)
        rows = embedding if self.apart is None else self.apart(pixels)[1]
        for number, edit in enumerate(self.edits):
            if isinstance(edit, Merge):
                gone = (cluster[:, None] == self.get_buffer(f"clusters{number}")).any(1)
                cluster = torch.where(gone, edit.clusters[0], cluster)
            else:
                nearest = (rows @ self.get_buffer(f"centers{number}").T).argmax(1)
                part = self.get_buffer(f"parts{number}")[nearest]
                cluster = torch.where(cluster == edit.cluster, part, cluster)
        return probs, embedding, cluster


def exported(run: Run, stage: Stage | None, clusters: int | None) -> Exported:
    """Return a stage's network as it is exported: on the CPU, in float32; errors as `model_of`."""
    stage = stage or newest(run)
    model = model_of(run, CPU, stage=stage, clusters=clusters, fp32=True)
    edits, apart = curation_of(run, stage, clusters).edits, None
    if has_splits(edits) and not isinstance(model.head, OfUnitRows):
        apart = embedder_of(run, CPU, nn.Identity(), fp32=True)
    return Exported(model, edits, apart).eval().to(memory_format=torch.contiguous_format)
