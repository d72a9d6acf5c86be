import pytest
import torch
from torch import nn

from spice_cli.errors import UsageError
from spice_cli.methods.splits import check_splits, in_parts


@pytest.mark.parametrize(
    ("batch", "splits", "mend"), [(100, 8, 4), (8, 8, 1), (9, 2, 1), (4, 16, 1)]
)
def test_a_batch_that_does_not_split_is_refused_with_splits_that_fit(batch, splits, mend) -> None:
    with pytest.raises(UsageError) as caught:
        check_splits(batch, splits)
    assert caught.value.hint == f"--set splits={mend}"
    check_splits(batch, mend)


def test_each_part_is_normalised_on_its_own() -> None:
    norm = nn.BatchNorm1d(3, affine=False, track_running_stats=False)
    rows = torch.cat([torch.randn(8, 3), 5 + 2 * torch.randn(8, 3)])
    found = in_parts(norm, rows, 2)
    torch.testing.assert_close(found, torch.cat([norm(rows[:8]), norm(rows[8:])]))
    torch.testing.assert_close(found.view(2, 8, 3).mean(1), torch.zeros(2, 3))
