"""Views of 32 px images, beside torchvision's transforms on PIL images and kornia's on batches.

The images are patches of scikit-learn's two sample photographs, made smaller. All start from
decoded images in memory and end with a normalised float batch; the same changes with the same
strengths, both cores, one process. RandAugment's peers get as many operations, flip, crop, cutout.
kornia crops by resampling, its faster way, and draws one order of the jitter's changes a batch;
ours and torchvision draw one an image.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import kornia.augmentation as K
import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Generator, Tensor
from torchvision import transforms as T

from benchmarks.measure import Row, alternate
from spice_cli.config.views import Strong, Views
from spice_cli.ops.augment import MEAN, STD, contrastive, strong
from spice_cli.stages.allocator import keep_freed_memory

N, SIDE, BATCHES = 2048, 32, (256, 512)
CROP, JITTER, SIGMA = (0.2, 1.0), (0.4, 0.4, 0.4, 0.1), (0.1, 2.0)
TAPS = 13
Batch = TypeVar("Batch")
TENSOR = (T.ToTensor(), T.Normalize(MEAN, STD))


def bench() -> list[Row]:
    """Time contrastive views, then strong ones."""
    keep_freed_memory()
    torch.manual_seed(0)
    images = photographs()
    pictures = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]
    return [*_contrastive(images, pictures), *_strong(images, pictures)]


def photographs() -> Tensor:
    """Return N patches of photographs (n, 3, 32, 32), uint8."""
    generator = Generator().manual_seed(0)
    photos = [torch.from_numpy(p.copy()).permute(2, 0, 1) for p in load_sample_images().images]
    patches = []
    for k in range(N):
        photo = photos[k % len(photos)]
        side = int(torch.randint(SIDE, 257, (), generator=generator))
        top = int(torch.randint(photo.shape[1] - side + 1, (), generator=generator))
        left = int(torch.randint(photo.shape[2] - side + 1, (), generator=generator))
        patch = photo[None, :, top : top + side, left : left + side]
        patches.append(F.interpolate(patch, (SIDE, SIDE), mode="bilinear", antialias=True))
    return torch.cat(patches)


def _contrastive(images: Tensor, pictures: list[Image.Image]) -> list[Row]:
    rows = []
    for blur in (0.0, 0.5):
        what = f"SimCLR views, 32 px, blur {blur:g}"
        ours = partial(contrastive, generator=Generator(), **Views(blur=blur).model_dump())
        one, batched = _torchvision_views(blur), _kornia_views(blur)
        for size in BATCHES:
            own = _over(images.split(size), ours)
            pillow, kornia = _pillow(pictures, size, one), _over(images.split(size), batched)
            goals = (None, None) if blur else (10, 3)
            rows.append(_row(what, "torchvision on PIL", size, own, pillow, goals[0]))
            rows.append(_row(what, "kornia", size, own, kornia, goals[1]))
    return rows


def _strong(images: Tensor, pictures: list[Image.Image]) -> list[Row]:
    rows = []
    for policy, operations, pad in (("fixmatch", 3, 4), ("scan", 4, 0)):
        what = f"RandAugment ({operations}) + cutout, 32 px, {policy}"
        settings = Strong(policy=policy, operations=operations, pad=pad).model_dump()
        ours = partial(strong, generator=Generator(), **settings)
        one = _torchvision_strong(operations, pad)
        for size in BATCHES:
            own, pillow = _over(images.split(size), ours), _pillow(pictures, size, one)
            rows.append(_row(what, "torchvision on PIL", size, own, pillow, 5))
    return rows


def _torchvision_views(blur: float) -> T.Compose:
    blurred = [T.RandomApply([T.GaussianBlur(TAPS, SIGMA)], blur)] if blur else []
    return T.Compose(
        [
            T.RandomResizedCrop(SIDE, CROP),
            T.RandomHorizontalFlip(),
            T.RandomApply([T.ColorJitter(*JITTER)], 0.8),
            T.RandomGrayscale(0.2),
            *blurred,
            *TENSOR,
        ]
    )


def _kornia_views(blur: float) -> Callable[[Tensor], Tensor]:
    blurred = [K.RandomGaussianBlur((TAPS, TAPS), SIGMA, p=blur)] if blur else []
    changes = K.AugmentationSequential(
        K.RandomResizedCrop((SIDE, SIDE), CROP, cropping_mode="resample"),
        K.RandomHorizontalFlip(),
        K.ColorJitter(*JITTER, p=0.8),
        K.RandomGrayscale(p=0.2),
        *blurred,
        K.Normalize(torch.tensor(MEAN), torch.tensor(STD)),
        data_keys=["input"],
    )
    return lambda images: changes(images.float() / 255)


def _torchvision_strong(operations: int, pad: int) -> T.Compose:
    return T.Compose(
        [
            T.RandomHorizontalFlip(),
            T.RandomCrop(SIDE, pad),
            T.RandAugment(operations),
            *TENSOR,
            T.RandomErasing(1.0),
        ]
    )


def _row(
    what: str,
    peer: str,
    size: int,
    ours: Callable[[], None],
    theirs: Callable[[], None],
    goal: float | None,
) -> Row:
    own, other = alternate(ours, theirs)
    return Row(what, peer, f"{N:,} in batches of {size}", own, other, goal, units=N)


def _over(batches: Sequence[Batch], view: Callable[[Batch], Tensor]) -> Callable[[], None]:
    def work() -> None:
        for batch in batches:
            view(batch)

    return work


def _pillow(
    pictures: list[Image.Image], size: int, view: Callable[[Image.Image], Tensor]
) -> Callable[[], None]:
    batches = [pictures[start : start + size] for start in range(0, N, size)]
    return _over(batches, lambda batch: torch.stack([view(picture) for picture in batch]))
