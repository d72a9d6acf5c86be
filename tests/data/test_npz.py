from pathlib import Path

import numpy as np
import pytest

from spice_cli.config.data import DataSpec
from spice_cli.data.dataset import Dataset
from spice_cli.data.load import load
from spice_cli.errors import InvalidError, UsageError

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)


def save(root: Path, **arrays: object) -> Path:
    np.savez(root / "x.npz", **arrays)  # type: ignore[arg-type]
    return root / "x.npz"


def read(path: Path, **options: object) -> Dataset:
    return load(DataSpec(name=str(path), **options), lambda _: None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "images", [PIXELS, PIXELS.transpose(0, 3, 1, 2), PIXELS / 255, (PIXELS / 255).astype("f4")]
)
def test_every_layout_gives_the_same_pixels(tmp_path: Path, images: np.ndarray) -> None:
    data = read(save(tmp_path, images=images))
    assert data.images.is_contiguous()
    assert np.array_equal(data.images.numpy(), PIXELS.transpose(0, 3, 1, 2))
    assert (data.train, data.classes, data.read_labels()) == (5, None, None)


@pytest.mark.parametrize("images", [PIXELS[..., 0], PIXELS[..., :1]])
def test_grey_is_repeated_over_the_channels(tmp_path: Path, images: np.ndarray) -> None:
    data = read(save(tmp_path, images=images))
    assert np.array_equal(data.images.numpy(), np.stack([PIXELS[..., 0]] * 3, 1))


def test_alpha_is_laid_on_white(tmp_path: Path) -> None:
    clear = np.concatenate([PIXELS, np.zeros_like(PIXELS[..., :1])], -1)
    assert (read(save(tmp_path, images=clear)).images == 255).all()


def test_test_rows_follow_train_rows(tmp_path: Path) -> None:
    path = save(
        tmp_path, images=PIXELS, labels=np.arange(5, dtype=np.uint8), test_images=PIXELS[:2] // 2
    )
    data = read(path, protocol="split")
    assert (data.n, data.train) == (7, 5)
    assert np.array_equal(data.images[5:].numpy(), (PIXELS[:2] // 2).transpose(0, 3, 1, 2))
    labels = data.read_labels()
    assert labels is not None
    assert labels.tolist() == [0, 1, 2, 3, 4, -1, -1]


@pytest.mark.parametrize(
    "images",
    [
        PIXELS.astype(np.int64),
        PIXELS.astype(np.float32),
        np.full((5, 8, 8), np.nan),
        -(PIXELS / 255),
        PIXELS.reshape(5, -1),
        np.zeros((5, 8, 8, 2), np.uint8),
        np.zeros((0, 8, 8), np.uint8),
    ],
)
def test_other_arrays_are_refused_by_name_shape_and_dtype(
    tmp_path: Path, images: np.ndarray
) -> None:
    with pytest.raises(InvalidError) as caught:
        read(save(tmp_path, images=images))
    for part in ("`images`", str(images.shape), str(images.dtype)):
        assert part in str(caught.value)


def test_an_archive_without_images_says_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="no array `images`: it holds `x_train`, `y_train`"):
        read(save(tmp_path, x_train=PIXELS, y_train=[1]))


def test_labels_are_not_read_before_they_are_asked_for_and_never_unpickled(tmp_path: Path) -> None:
    labels = np.array([{"a": 1}] * 5, dtype=object)
    data = read(save(tmp_path, images=PIXELS, labels=labels))
    assert data.n == 5
    with pytest.raises(InvalidError, match="not a readable NumPy archive"):
        data.read_labels()


@pytest.mark.parametrize("labels", [np.arange(4), np.ones(5), np.ones((5, 1), int)])
def test_labels_that_do_not_fit_are_refused(tmp_path: Path, labels: np.ndarray) -> None:
    data = read(save(tmp_path, images=PIXELS, labels=labels))
    with pytest.raises(InvalidError, match="array `labels` has shape"):
        data.read_labels()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"\x80\x04K\x01."])
def test_a_file_that_is_no_archive_is_one_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(InvalidError, match="not a readable NumPy archive"):
        read(tmp_path / "x.npz")


def test_a_renamed_npy_is_one_error(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", PIXELS)
    (tmp_path / "x.npy").rename(tmp_path / "x.npz")
    with pytest.raises(InvalidError, match="not a readable NumPy archive"):
        read(tmp_path / "x.npz")


def test_any_flipped_byte_reads_the_same_or_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, images=PIXELS[:2, :4, :4])
    content, expected = path.read_bytes(), read(path).images
    for position in range(0, len(content), 7):
        broken = bytearray(content)
        broken[position] ^= 0x55
        path.write_bytes(broken)
        try:
            assert read(path).images.equal(expected), position
        except InvalidError:
            continue


def test_splits_of_different_sizes_are_refused_unless_resized(tmp_path: Path) -> None:
    path = save(tmp_path, images=PIXELS, test_images=PIXELS[:, :6, :6])
    with pytest.raises(InvalidError, match="8 x 8 pixels and test images 6 x 6"):
        read(path)
    assert read(path, size=5).images.shape == (10, 3, 5, 5)


def test_images_that_are_not_square_are_resized(tmp_path: Path) -> None:
    assert read(save(tmp_path, images=PIXELS[:, :6])).images.shape == (5, 3, 96, 96)


def test_split_needs_test_images(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no test images"):
        read(save(tmp_path, images=PIXELS), protocol="split")
