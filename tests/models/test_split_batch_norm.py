from copy import deepcopy

import pytest
import torch
from torch import nn

from spice_cli.models.resnet import small
from spice_cli.models.split_batch_norm import SplitBatchNorm2d, split_batch_norm


@pytest.mark.parametrize("compiling", [False, True])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_training_equals_a_batch_norm_for_each_part(memory_format, compiling, monkeypatch) -> None:
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: compiling)
    split = SplitBatchNorm2d(5, 4)
    nn.init.uniform_(split.weight)
    nn.init.normal_(split.bias)
    plain = [nn.BatchNorm2d(5) for _ in range(4)]
    for one in plain:
        one.load_state_dict(split.state_dict())
    images = torch.randn(12, 5, 3, 3).to(memory_format=memory_format).requires_grad_()
    for _ in range(2):
        out = split(images)
        expected = torch.cat([bn(x) for bn, x in zip(plain, images.chunk(4), strict=True)])
    torch.testing.assert_close(out, expected)
    assert out.is_contiguous(memory_format=memory_format)
    weights = torch.randn_like(out)
    ours = torch.autograd.grad((out * weights).sum(), [images, split.weight, split.bias])
    theirs = torch.autograd.grad(
        (expected * weights).sum(), [images, *(p for bn in plain for p in (bn.weight, bn.bias))]
    )
    torch.testing.assert_close(ours[0], theirs[0])
    torch.testing.assert_close(ours[1], sum(theirs[1::2]))
    torch.testing.assert_close(ours[2], sum(theirs[2::2]))
    assert split.num_batches_tracked == 2
    for name in ("running_mean", "running_var"):
        parts = torch.stack([getattr(bn, name) for bn in plain])
        torch.testing.assert_close(getattr(split, name), parts.mean(0))


@pytest.mark.parametrize("compiling", [False, True])
def test_bf16_batches_stay_bf16_and_their_statistics_float32(compiling, monkeypatch) -> None:
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: compiling)
    split, exact = SplitBatchNorm2d(5, 4), SplitBatchNorm2d(5, 4)
    images = (3 + torch.randn(12, 5, 3, 3)).bfloat16()
    out, expected = split(images), exact(images.float())
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), expected, atol=0.02, rtol=0.01)
    torch.testing.assert_close(split.state_dict(), exact.state_dict())


def test_one_part_is_plain_batch_norm() -> None:
    split, plain = SplitBatchNorm2d(3, 1), nn.BatchNorm2d(3)
    images = torch.randn(6, 3, 2, 2)
    torch.testing.assert_close(split(images), plain(images))
    torch.testing.assert_close(split.state_dict(), plain.state_dict())


def test_eval_is_plain_batch_norm_with_the_same_state() -> None:
    split, plain = SplitBatchNorm2d(3, 4), nn.BatchNorm2d(3)
    split(torch.randn(8, 3, 2, 2))
    plain.load_state_dict(split.state_dict())
    images = torch.randn(5, 3, 2, 2)
    assert torch.equal(split.eval()(images), plain.eval()(images))


def test_an_uneven_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="10 does not divide into 4"):
        SplitBatchNorm2d(3, 4)(torch.randn(10, 3, 2, 2))


def test_conversion_keeps_the_state_and_the_settings() -> None:
    backbone = small(8, width=4)
    backbone.body.stem[1].momentum = 0.25
    backbone(torch.randn(4, 3, 8, 8))
    before = deepcopy(backbone.state_dict())
    split_batch_norm(backbone.eval(), 2)
    assert all(type(m) is not nn.BatchNorm2d for m in backbone.modules())
    assert not any(m.training for m in backbone.modules())
    assert backbone.body.stem[1].momentum == 0.25
    after = backbone.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[k], before[k]) for k in before)


def test_a_cumulative_average_is_refused() -> None:
    with pytest.raises(ValueError, match="cumulative"):
        split_batch_norm(nn.Sequential(nn.BatchNorm2d(2, momentum=None)), 2)
