import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from spice_cli.config.views import Strong, Views, Weak
from spice_cli.ops import augment, augment_draw

STILL = Views(
    crop=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0, jitter=0.0, gray=0.0, blur=0.0
).model_dump()
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def images(n: int = 150, side: int = 16) -> Tensor:
    generator = torch.Generator().manual_seed(15)
    return torch.randint(0, 256, (n, 3, side, side), dtype=torch.uint8, generator=generator)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


VIEWS = {
    "contrastive": lambda x, g: augment.contrastive(x, g, **Views(rotate=10).model_dump()),
    "weak": lambda x, g: augment.weak(x, g, **Weak().model_dump()),
    "scan": lambda x, g: augment.strong(x, g, **Strong().model_dump()),
    "fixmatch": lambda x, g: augment.strong(x, g, **Strong(policy="fixmatch", pad=4).model_dump()),
}


def test_plain_is_torchvisions_normalisation() -> None:
    x = images()
    expected = tv.normalize(tv.to_dtype(x, torch.float32, scale=True), MEAN, STD)
    torch.testing.assert_close(augment.plain(x), expected)


@pytest.mark.parametrize("name", VIEWS)
def test_a_seed_gives_the_same_bits_and_another_seed_other_views(name: str) -> None:
    x = images()
    before = x.clone()
    first = VIEWS[name](x, seeded())
    assert torch.equal(first, VIEWS[name](x, seeded()))
    assert not torch.equal(first, VIEWS[name](x, seeded(1)))
    assert torch.equal(x, before)
    assert first.shape == x.shape and first.dtype == torch.float32
    assert first.isfinite().all() and first.is_contiguous()


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize(("n", "side"), [(1, 200), (2, 5), (40, 32)])
def test_the_bits_of_a_seed_do_not_depend_on_the_number_of_threads(name, n, side) -> None:
    x, threads = images(n, side), torch.get_num_threads()
    views = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            views.append(VIEWS[name](x, seeded()))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(views[0], views[1]) and torch.equal(views[0], views[2])


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_does_not_depend_on_how_the_batch_is_cut_into_blocks(name, monkeypatch) -> None:
    x = images(60)
    whole = VIEWS[name](x, seeded())
    monkeypatch.setattr(augment_draw, "BLOCK", 1)
    torch.testing.assert_close(VIEWS[name](x, seeded()), whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", VIEWS)
def test_a_batch_may_be_of_one_image(name: str) -> None:
    for seed in range(30):
        assert VIEWS[name](images(1, 8), seeded(seed)).isfinite().all()


@pytest.mark.parametrize("name", VIEWS)
def test_copies_of_one_image_get_different_views(name: str) -> None:
    x = images(1, 32).expand(100, -1, -1, -1)
    views = VIEWS[name](x, seeded())
    assert len({v.sum().item() for v in views}) > 60


@pytest.mark.parametrize("name", VIEWS)
def test_views_are_images_between_black_and_white(name: str) -> None:
    views = VIEWS[name](images(), seeded())
    black, white = augment.plain(
        torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 1, 1)
    )
    assert (views >= black - 1e-4).all() and (views <= white + 1e-4).all()


def test_a_view_without_changes_is_the_image() -> None:
    x = images()
    torch.testing.assert_close(augment.contrastive(x, seeded(), **STILL), augment.plain(x))
    still = augment.weak(x, seeded(), pad=0, flip=0.0)
    assert torch.equal(still, augment.plain(x))
    for policy in ("scan", "fixmatch"):
        none = augment.strong(x, seeded(), policy=policy, operations=0, cutout=0.0, pad=0, flip=0.0)
        assert torch.equal(none, augment.plain(x))


def test_size_sets_the_side_of_a_view() -> None:
    x = images(5, 16)
    for size in (8, 24):
        view = augment.contrastive(x, seeded(), **{**Views().model_dump(), "size": size})
        assert view.shape == (5, 3, size, size)


@pytest.mark.parametrize("flip", [0.0, 0.3, 1.0])
def test_flip_is_the_share_of_mirrored_images(flip: float) -> None:
    x = images(2000, 4)
    mirrored = augment.plain(x.flip(3))
    for views in (
        augment.contrastive(x, seeded(), **{**STILL, "flip": flip}),
        augment.weak(x, seeded(), pad=0, flip=flip),
    ):
        share = torch.isclose(views, mirrored, atol=1e-4).flatten(1).all(1).float().mean()
        assert abs(share - flip) < 0.04


def test_weak_shifts_are_uniform_over_the_padding() -> None:
    x = torch.zeros(4000, 3, 9, 9, dtype=torch.uint8)
    x[:, :, 4, 4] = 255
    views = augment.weak(x, seeded(), pad=2, flip=0.0)[:, 0]
    counts = torch.bincount(views.flatten(1).argmax(1), minlength=81).view(9, 9)
    assert counts[2:7, 2:7].sum() == 4000
    assert counts[2:7, 2:7].min() > 100


def test_gray_images_have_equal_channels_and_their_share_is_gray() -> None:
    views = augment.contrastive(images(2000, 4), seeded(), **{**STILL, "gray": 0.2})
    values = views * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]
    same = (values - values[:, :1]).abs().flatten(1).amax(1) < 1e-4
    assert abs(same.float().mean() - 0.2) < 0.04


def test_blur_smooths_the_drawn_share_and_keeps_a_flat_image() -> None:
    x = images(600)
    views = augment.contrastive(x, seeded(), **{**STILL, "blur": 0.5, "blur_sigma": (1.0, 2.0)})
    rough = augment.plain(x).std((1, 2, 3))
    assert abs((views.std((1, 2, 3)) < 0.8 * rough).float().mean() - 0.5) < 0.08
    flat = torch.full((40, 3, 16, 16), 90, dtype=torch.uint8)
    blurred = augment.contrastive(flat, seeded(), **{**STILL, "blur": 1.0})
    torch.testing.assert_close(blurred, augment.plain(flat), atol=1e-4, rtol=0)


def test_scan_cuts_zeros_after_and_fixmatch_grey_before_normalising() -> None:
    x = torch.full((300, 3, 16, 16), 255, dtype=torch.uint8)
    white = augment.plain(x[:1])[0, :, 0, 0]
    settings = {"operations": 0, "cutout": 0.5, "pad": 0, "flip": 0.5}
    scan = augment.strong(x, seeded(), policy="scan", **settings)
    changed = scan[scan != white[:, None, None]]
    assert changed.numel() > 0 and (changed == 0).all()
    grey = augment.plain(torch.tensor([125, 123, 114], dtype=torch.uint8).view(1, 3, 1, 1))[0]
    fixmatch = augment.strong(x, seeded(), policy="fixmatch", **settings)
    cut = (fixmatch == grey).all(1)
    assert cut.any()
    assert ((fixmatch == white[:, None, None]).all(1) | cut).all()
    assert max(cut.any(1).sum(1).max(), cut.any(2).sum(1).max()) <= 8
