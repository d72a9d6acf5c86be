import pytest
from hypothesis import given
from hypothesis import strategies as st

from spice_cli.stages.export_names import folder_names, safe, unique


@pytest.mark.parametrize(
    ("name", "spelt"),
    [
        ("red cars", "red cars"),
        ("a/b\\c", "a_b_c"),
        ("..", ""),
        ("../../etc", "_.._etc"),
        (" x. ", "x"),
        ("what?", "what_"),
        ("con", "con_"),
        ("LPT1.txt", "LPT1.txt_"),
        ("Käfer", "Käfer"),
        ("\x00\n", "__"),
    ],
)
def test_names_are_spelt_as_every_system_takes_them(name: str, spelt: str) -> None:
    assert safe(name) == spelt


@given(st.text())
def test_a_spelt_name_never_leads_out_of_its_folder(name: str) -> None:
    found = safe(name)
    assert "/" not in found
    assert found not in (".", "..")
    assert len(found.encode()) <= 101


@given(st.dictionaries(st.integers(0, 20), st.text(max_size=5), max_size=8))
def test_folders_differ_on_systems_that_know_no_case(titles: dict[int, str]) -> None:
    found = folder_names(titles)
    assert found.keys() == titles.keys()
    assert len({name.lower() for name in found.values()}) == len(titles)
    assert all(found.values())


def test_clusters_of_one_name_get_their_numbers() -> None:
    assert folder_names({0: "cars", 4: "Cars"}) == {0: "cars", 4: "Cars (4)"}


def test_files_of_one_name_get_numbers_before_their_ending() -> None:
    taken: set[str] = set()
    found = [unique(name, taken) for name in ("a.jpg", "A.jpg", "a.jpg", "b", "b", ".c", ".c")]
    assert found == ["a.jpg", "A (2).jpg", "a (3).jpg", "b", "b (2)", ".c", ".c (2)"]
