from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from spice_cli.ops.augment import plain
from spice_cli.stages.rows import embedder

JOB = SimpleNamespace(autocast=nullcontext, device=torch.device("cpu"))


@pytest.mark.parametrize("batch", [3, 4, 20])
def test_all_images_pass_in_order_in_evaluation_without_gradient(batch) -> None:
    images = torch.randint(0, 256, (10, 3, 4, 4), dtype=torch.uint8)
    method = nn.Sequential(nn.Flatten(), nn.Linear(48, 5), nn.Dropout(0.5))
    rows = embedder(method, images, JOB, batch=batch)(method)
    torch.testing.assert_close(rows, method[1](plain(images).flatten(1)))
    assert not rows.requires_grad
    assert method.training


def test_rows_are_float32_whatever_they_were_computed_in() -> None:
    images = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    rows = embedder(nn.Identity(), images, JOB, batch=2)(lambda x: x.flatten(1).bfloat16())
    assert rows.dtype == torch.float32


def test_a_compiled_method_runs_as_it_is_written() -> None:
    def broken(*_: object) -> None:
        raise AssertionError("compiled")

    method = nn.Linear(4, 2)
    method.compile(backend=broken)
    images = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    rows = embedder(method, images, JOB, batch=2, compiled=True)(lambda x: method(x.mean((1, 2))))
    assert rows.shape == (2, 2)
    torch.compiler.reset()
