"""Sizes that are known of a stage's tensors before they are looked at."""

from collections.abc import Mapping

from spice_cli.run.manifest import Manifest, Stage


def axes(manifest: Manifest, stage: Stage, inputs: Mapping[str, str]) -> dict[str, int]:
    """Return the sizes that a stage's tensors must agree with: n, and k where it is given."""
    data = manifest.data
    if stage is not Stage.SELECT_RELIABLE:
        return {"n": data.train + data.test}
    source = manifest.stages.get(Stage.SELF_LABEL)
    probs = source.tensors.get("probs") if source and Stage.SELF_LABEL in inputs else None
    return {"n": data.train, **({"k": probs.shape[-1]} if probs and probs.shape else {})}
