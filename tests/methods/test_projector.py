import torch
from torch import nn

from spice_cli.methods.projector import projector


def test_it_is_as_wide_inside_as_the_features_unless_told() -> None:
    assert [p.shape for p in projector(6, None, 3, batch_norm=False).parameters()] == [
        (6, 6),
        (6,),
        (3, 6),
        (3,),
    ]
    assert projector(6, 9, 3, batch_norm=False)(torch.randn(2, 6)).shape == (2, 3)


def test_batch_norm_replaces_the_hidden_bias() -> None:
    layers = projector(6, None, 3, batch_norm=True)
    assert layers[0].bias is None
    assert isinstance(layers[1], nn.BatchNorm1d)


def test_without_a_hidden_layer_it_is_linear() -> None:
    (layer,) = projector(6, 0, 3, batch_norm=False)
    assert layer.weight.shape == (3, 6)
