from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from spice_cli.config.data import DataSpec
from spice_cli.data.decode import decode
from spice_cli.data.side import choose_side, fit, fit_all
from spice_cli.errors import InvalidError

SPEC = DataSpec(name="x")


@pytest.mark.parametrize(
    ("train", "test", "size", "expected"),
    [
        ({(32, 32)}, {(32, 32)}, None, 32),
        ({(32, 32)}, set(), None, 32),
        ({(40, 30)}, set(), None, 96),
        ({(32, 32), (48, 48)}, {(32, 32)}, None, 96),
        ({(4000, 4000)}, set(), None, 96),
        ({(32, 32)}, {(28, 28)}, 20, 20),
    ],
)
def test_the_side_is_the_asked_one_or_the_shared_one_or_96(
    train: set[tuple[int, int]], test: set[tuple[int, int]], size: int | None, expected: int
) -> None:
    said: list[str] = []
    side = choose_side(train, test, DataSpec(name="x", size=size), said.append)
    assert side == expected
    assert bool(said) == (expected == 96)


def test_train_and_test_of_different_sizes_are_refused() -> None:
    with pytest.raises(InvalidError, match="32 x 32 pixels and test images 28 x 28") as caught:
        choose_side({(32, 32)}, {(28, 28)}, SPEC, print)
    assert "--size 28" in caught.value.hint


@pytest.mark.parametrize("shape", [(20, 20), (30, 20), (16, 24)])
def test_fit_gives_what_decoding_the_same_image_gives(shape: tuple[int, int]) -> None:
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (5, 3, *shape), np.uint8))
    out = fit(images, 12)
    assert out.is_contiguous()
    for image, fitted in zip(images, out, strict=True):
        buffer = BytesIO()
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(buffer, "PNG")
        decoded = decode(buffer.getvalue(), 12).astype(int)
        assert np.abs(decoded - fitted.numpy()).max() <= 1


def test_fit_all_puts_train_rows_first() -> None:
    train, test = torch.zeros(2, 3, 8, 8, dtype=torch.uint8), torch.ones(1, 3, 9, 8).byte()
    out = fit_all(train, test, DataSpec(name="x", size=8), print)
    assert out[:, 0, 0, 0].tolist() == [0, 0, 1]
    more = torch.full((2, 3, 10, 12), 7, dtype=torch.uint8)
    out = fit_all(train, test, DataSpec(name="x", size=8), print, before=more)
    assert out[:, 0, 0, 0].tolist() == [7, 7, 0, 0, 1]
