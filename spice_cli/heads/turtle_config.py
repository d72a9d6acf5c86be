"""TURTLE's own settings, and what follows from the size of a data set."""

from spice_cli.config.frozen import Count, Frozen, Positive


class TurtleConfig(Frozen):
    """Settings of `turtle` alone."""

    gamma: Positive = 10.0
    """Weight of the entropy of the clusters' shares: how strongly they are kept even."""
    inner: Count = 10
    """Steps of the classifiers before each update of the labels."""
    inner_lr: Positive | None = None
    """None: as `lr`."""
    warm: bool = True
    """Whether classifiers go on from where they were, or start again at each update."""
    updates: Count | None = None
    """Updates of the labels an epoch. None: 60 for 10,000 images and more, so that 100 epochs are
    the reference's 6,000; for fewer images as many fewer, but at least 10."""

    def updates_for(self, images: int) -> int:
        """Return the updates an epoch for that many training images."""
        return self.updates or min(60, max(10, round(60 * images / 10_000)))
