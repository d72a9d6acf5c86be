import pytest
import torch
from torch import Tensor

from spice_cli.data.dataset import Dataset
from spice_cli.models.backbone import Backbone
from spice_cli.ops.augment import MEAN, STD
from spice_cli.stages import sight
from spice_cli.stages.sight import Eye, look
from spice_cli.track import Silent


class Pixels(Backbone):
    """A network that sees each place as it is, and each image by its colours."""

    def __init__(self) -> None:
        super().__init__(torch.nn.Identity(), 3)

    def maps(self, images: Tensor) -> Tensor:
        std, mean = (torch.tensor(each)[:, None, None] for each in (STD, MEAN))
        return images * std + mean


@pytest.fixture
def data() -> Dataset:
    """Images brighter above, each of a colour of its own; eight are upside down, one mirrored."""
    g = torch.Generator().manual_seed(0)
    sky = torch.linspace(1, 0.2, 8)[:, None].expand(8, 8)
    images = 200 * sky * torch.rand(120, 3, 1, 1, generator=g) + 9 * torch.rand(
        120, 3, 8, 8, generator=g
    )
    images[50:58] = images[50:58].flip(-2)
    images[119] = images[3].flip(-1)
    pixels = images.to(torch.uint8)
    return Dataset(pixels, 120, None, None, None, (), lambda: None, test=2)


@pytest.mark.parametrize("most", [1000, 60])
def test_a_mirrored_copy_among_the_test_images_is_found(
    data: Dataset, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sight, "MOST", most)
    seen = look(data, Eye(Pixels(), torch.device("cpu")), Silent())
    assert [3, 119] in seen.shared.tolist()
    assert len(seen.rows) == len(seen.orientation.degrees) == min(most, 120)


def test_of_images_that_lie_upside_down_some_are_found_and_no_other(data: Dataset) -> None:
    seen = look(data, Eye(Pixels(), torch.device("cpu")), Silent())
    said = seen.orientation.degrees.nonzero().flatten().tolist()
    assert seen.orientation.told
    assert said
    assert set(said) <= set(range(50, 58))
    assert set(seen.orientation.degrees[said].tolist()) == {180}


def test_embeddings_that_are_there_are_not_made_again(data: Dataset) -> None:
    rows = torch.eye(120)
    rows[119] = rows[7]
    seen = look(data, Eye(Pixels(), torch.device("cpu"), rows), Silent())
    assert seen.shared.tolist() == [[7, 119]]
