from pathlib import Path

import pytest

from spice_cli.data.shards import find_shards
from spice_cli.errors import MissingError, UsageError

TRAIN = ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"]
TEST = ["test-00000-of-00002.parquet", "test-00001-of-00002.parquet"]
VALIDATION = ["validation-00000-of-00001.parquet"]


def find(
    root: Path, files: list[str], test: str | None = None, path: str = ""
) -> tuple[list[str], list[str], list[str]]:
    for name in files:
        (root / name).touch()
    said: list[str] = []
    train, chosen = find_shards(root / path, test, said.append)
    return [f.name for f in train], [f.name for f in chosen], said


def test_one_series_of_test_shards_is_the_test_split(tmp_path: Path) -> None:
    assert find(tmp_path, [*TRAIN, *TEST, "labels.npy"]) == (TRAIN, TEST, [])


def test_several_candidates_are_named_and_none_is_taken(tmp_path: Path) -> None:
    train, test, said = find(tmp_path, [*TRAIN, *TEST, *VALIDATION])
    assert (train, test) == (TRAIN, [])
    assert TEST[0] in said[0]
    assert VALIDATION[0] in said[0]
    assert "--test" in said[0]


def test_the_chosen_file_stands_for_its_whole_series(tmp_path: Path) -> None:
    assert find(tmp_path, [*TRAIN, *TEST, *VALIDATION], test=TEST[1]) == (TRAIN, TEST, [])


def test_a_lone_test_file_needs_no_choice(tmp_path: Path) -> None:
    files = ["test-small.parquet", *TRAIN]
    assert find(tmp_path, files) == (TRAIN, ["test-small.parquet"], [])


def test_names_without_a_split_are_all_train(tmp_path: Path) -> None:
    files = ["a.parquet", "testimony.parquet", "trained.parquet"]
    assert find(tmp_path, files) == (files, [], [])


def test_a_chosen_file_is_not_trained_on(tmp_path: Path) -> None:
    files = ["a.parquet", "b.parquet"]
    assert find(tmp_path, files, test="b.parquet") == (["a.parquet"], ["b.parquet"], [])


def test_one_file_is_all_train_whatever_lies_beside_it(tmp_path: Path) -> None:
    assert find(tmp_path, [*TRAIN, *TEST], path=TEST[0]) == (TEST[:1], [], [])
    assert find(tmp_path, [], test=TRAIN[0], path=TEST[0])[:2] == (TEST[:1], TRAIN)


def test_a_missing_shard_is_told(tmp_path: Path) -> None:
    names = [f"train-0000{i}-of-00003.parquet" for i in (0, 2)]
    said = find(tmp_path, names)[2]
    assert "only 2 of the 3" in said[0]


def test_a_missing_test_file_is_an_error_that_lists_the_others(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"tset\.parquet` is not there") as caught:
        find(tmp_path, [*TRAIN, "test.parquet"], test="tset.parquet")
    assert "`test.parquet`" in caught.value.hint


def test_train_and_test_cannot_be_the_same_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="both the train and the test"):
        find(tmp_path, ["a.parquet"], test="a.parquet", path="a.parquet")


def test_a_directory_of_test_files_alone_has_nothing_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no Parquet file to train on"):
        find(tmp_path, TEST)
