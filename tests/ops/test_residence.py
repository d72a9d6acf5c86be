import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spice_cli.ops import residence
from spice_cli.ops.residence import brought, fits, picked, take

IMAGES = torch.arange(7 * 3 * 2 * 2).view(7, 3, 2, 2).to(torch.uint8)


@pytest.mark.parametrize(("needed", "fitting"), [(0, True), (50, True), (51, False), (200, False)])
def test_images_may_take_half_of_what_is_free(needed: int, fitting: bool) -> None:
    assert fits(needed, 100) == fitting


def test_images_beside_the_computation_are_not_copied() -> None:
    assert brought(IMAGES, torch.device("cpu")) is IMAGES


@given(st.lists(st.integers(0, 6), max_size=20))
def test_a_batch_is_the_same_by_way_of_the_host_and_each_image_is_sent_once(
    listed: list[int],
) -> None:
    rows, sent = torch.tensor(listed, dtype=torch.long), []

    def send(images: torch.Tensor, device: torch.device) -> torch.Tensor:
        sent.append(len(images))
        return images.clone()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(residence, "beside", lambda images, device: False)
        patch.setattr(residence, "brought", send)
        assert torch.equal(take(IMAGES, rows), IMAGES[rows])
    assert sent == [len(set(listed))]
    assert torch.equal(take(IMAGES, rows), IMAGES[rows])
    assert torch.equal(picked(IMAGES, rows), IMAGES[rows])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_gets_the_same_batches_from_the_host() -> None:
    rows = torch.tensor([5, 0, 5, 2], device="cuda")
    for images in (IMAGES, IMAGES.cuda()):
        batch = take(images, rows)
        assert batch.is_cuda
        assert torch.equal(batch.cpu(), IMAGES[rows.cpu()])
        assert picked(images, rows).device == images.device
        assert torch.equal(brought(images[2:5], rows.device).cpu(), IMAGES[2:5])
