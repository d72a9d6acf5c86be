from spice_cli.catalog import HEADS
from spice_cli.ops.held import KINDS, mapped


def test_what_every_head_holds_is_known() -> None:
    assert KINDS.keys() == HEADS.keys()


def test_mapped_files_count_whole_in_half_of_memory_and_else_as_a_quarter_of_it() -> None:
    assert [mapped(needed, 800) for needed in (0, 400, 401, 10_000)] == [0, 400, 200, 200]
