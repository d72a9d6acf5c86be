from spice_cli.catalog import DATASETS, HEADS, METHODS
from spice_cli.published import published, published_for

FOREIGN = {
    "cdc", "cdc+dcboost", "conr", "dac", "dccm", "divclust", "dpac", "gatcluster", "gcc", "idfd",
    "mice", "nnm", "pica", "propos+dcboost", "scan+dcboost", "scan+ruc", "secu", "supervised",
    "tcc", "tcl",
}  # fmt: skip
STAGES = {"spice-self": "spice", "scan-loss": "scan"}


def test_every_row_names_a_data_set_a_protocol_and_a_source() -> None:
    for row in published():
        assert row.data in DATASETS
        assert row.protocol in ("whole", "split")
        assert row.runs in ("best", "mean")
        assert row.average in (None, "arithmetic", "geometric")
        assert row.source


def test_numbers_are_shares_of_one() -> None:
    for row in published():
        numbers = [n for n in (row.acc, row.nmi, row.ari) if n is not None]
        assert numbers
        assert all(0 < n < 1 for n in numbers)


def test_methods_that_we_have_go_by_our_names() -> None:
    ours = {row.method for row in published()} - FOREIGN
    assert {STAGES.get(name, name) for name in ours} <= {*METHODS, *HEADS}


def test_no_row_is_told_twice() -> None:
    keys = [(r.data, r.protocol, r.method, r.source, r.note) for r in published()]
    assert len(keys) == len(set(keys))


def test_rows_of_a_data_set_come_best_first_and_keep_to_the_protocol() -> None:
    rows = published_for("cifar10", "split")
    assert [row.acc for row in rows] == sorted((row.acc for row in rows), reverse=True)
    assert {row.protocol for row in rows} == {"split"}
    spice = next(row for row in rows if row.method == "spice" and row.note == "ResNet-18")
    assert (spice.acc, spice.nmi, spice.ari) == (0.918, 0.85, 0.836)
    assert (spice.average, spice.runs) == ("geometric", "best")


def test_what_is_not_stated_is_none() -> None:
    (row,) = [r for r in published_for("stl10", "whole") if r.method == "pcl"]
    assert (row.acc, row.nmi) == (None, 0.718)
