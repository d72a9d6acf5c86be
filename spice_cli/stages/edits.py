"""What merges and splits make of clusters."""

from collections.abc import Sequence

import torch
from torch import Tensor

from spice_cli.errors import MissingError
from spice_cli.run.curation import Edit, Merge, Split


def edited(cluster: Tensor, edits: Sequence[Edit], embeddings: Tensor | None) -> Tensor:
    """Return clusters (m,) after the edits, in order; splits look at unit embeddings (m, d).

    Raises MissingError where there are splits and no embeddings.
    """
    out = cluster.clone()
    for edit in edits:
        if isinstance(edit, Merge):
            out[torch.isin(out, torch.tensor(edit.clusters))] = edit.clusters[0]
            continue
        if embeddings is None:
            raise MissingError("a cluster that was split needs the embeddings", hint="spice embed")
        mine = out == edit.cluster
        parts, centers = torch.tensor(edit.parts), torch.tensor(edit.centers)
        out[mine] = parts[(embeddings[mine].float() @ centers.T).argmax(1)]
    return out


def has_splits(edits: Sequence[Edit]) -> bool:
    """Tell whether clusters fell into parts, which takes embeddings to follow."""
    return any(isinstance(edit, Split) for edit in edits)


def count_after(clusters: int, edits: Sequence[Edit]) -> int:
    """Return one more than the highest number that a cluster may have after the edits."""
    parts = [part for edit in edits if isinstance(edit, Split) for part in edit.parts]
    return max([clusters - 1, *parts]) + 1


def columns_after(clusters: int, edits: Sequence[Edit]) -> Tensor:
    """Return into which cluster each of k merged (k,), however they were split."""
    return edited(torch.arange(clusters), [e for e in edits if isinstance(e, Merge)], None)


def merged_away(edits: Sequence[Edit]) -> set[int]:
    """Return the clusters that merges took into others."""
    gone = set[int]()
    for edit in edits:
        if isinstance(edit, Merge):
            gone = gone.union(edit.clusters[1:]).difference(edit.clusters[:1])
        else:
            gone = gone.difference(edit.parts)
    return gone


def told(edits: Sequence[Edit]) -> str:
    """Say what was done, as in `after 2 merges and 1 split`; nothing of nothing."""
    splits = sum(isinstance(edit, Split) for edit in edits)
    counts = (("merge", len(edits) - splits), ("split", splits))
    parts = [f"{count} {word}{'s' * (count > 1)}" for word, count in counts if count]
    return f"after {' and '.join(parts)}" if parts else ""
