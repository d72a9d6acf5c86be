import io
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spice_cli.data.pages import Page, heaviest, pages


def slowly(found: list[Page], rows: int) -> int:
    """Walk over all rows, one batch after another."""
    owners = [number for number, page in enumerate(found) for _ in range(page.values)]
    most = 0
    for start in range(0, len(owners), rows):
        some = owners[start : start + rows]
        most = max(most, sum(found[each].holds(some.count(each)) for each in set(some)))
    return most


@pytest.mark.parametrize("seed", range(30))
def test_the_heaviest_batch_is_found(seed: int) -> None:
    draw = random.Random(seed)
    found = [
        Page(draw.randint(0, 9), draw.randint(0, 50), draw.choice([None, draw.randint(0, 9)]))
        for _ in range(draw.randint(0, 9))
    ]
    assert [heaviest(found, n) for n in range(1, 30)] == [slowly(found, n) for n in range(1, 30)]


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("dictionary", [True, False])
def test_the_pages_of_a_column_are_its_values(version: str, dictionary: bool) -> None:
    out, values = io.BytesIO(), [bytes([i % 7]) * 1000 for i in range(500)]
    pq.write_table(
        pa.table({"image": pa.array([*values, None], pa.binary())}),
        out,
        data_page_version=version,
        use_dictionary=dictionary,
        data_page_size=4096,
        write_batch_size=10,
        write_page_index=True,
    )
    chunk = pq.ParquetFile(out).metadata.row_group(0).column(0)
    start = chunk.dictionary_page_offset if dictionary else chunk.data_page_offset
    found = list(pages(out, start, chunk.num_values, 2**20))
    assert sum(page.values for page in found) == 501
    if dictionary:
        assert {page.each for page in found} == {7 * 1004}
    else:
        assert 500 * 1004 <= sum(page.size for page in found) <= 500 * 1004 + 20 * len(found)
    with pytest.raises(ValueError, match="a page unpacks to"):
        list(pages(out, start, chunk.num_values, 1000))


def test_what_is_no_page_is_refused() -> None:
    draw = random.Random(0)
    for _ in range(300):
        with pytest.raises(ValueError, match="page"):
            list(pages(io.BytesIO(draw.randbytes(50)), 0, 2**40, 2**20))
    with pytest.raises(ValueError, match="nested"):
        list(pages(io.BytesIO(b"\x1c" * 10_000), 0, 1, 2**20))
