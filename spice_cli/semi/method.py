"""What a way of trusting guesses is, and what it may ask of the training it is for.

A method is a module built as `kind(clusters, config)`, `Config` being its own settings, none named
as one of `config.Semi`; `uneven`, where there is one, are those for clusters of very different size
(`--balance none`). Called with float32 logits (u, k) of weak and of strong views of the same images
it returns the unlabelled loss (), each image's guess (u,), and how far it teaches (u,), 0 to 1.
Nothing flows back through the weak ones. Its buffers and parameters are all it remembers; the
parameters are trained with the model's. It never waits for the device.
"""

from typing import Any


def starts_from_head(kind: Any) -> bool:
    """Whether training starts from what `self-label` left: class attribute `from_head`."""
    return getattr(kind, "from_head", False)


def renewals(method: Any) -> int:
    """How often reliable labels are made anew in the planned steps: attribute `renewals`."""
    return getattr(method, "renewals", 0)


def reads_features(kind: Any) -> bool:
    """Whether it looks at features: class attribute `reads_features`.

    Then it is built as `kind(clusters, config, width)`, called with the features (u, width) of the
    weak views as a third argument, and its `calibrated(logits (n, k), features (n, width))` returns
    the logits (n, k) that the stage leaves as probabilities.
    """
    return getattr(kind, "reads_features", False)
