import json
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from spice_cli.errors import InvalidError, MissingError
from spice_cli.run.files import sha256
from spice_cli.run.tensors import DTYPES, load, save, spec

TENSORS = {
    "z": torch.arange(6.0).reshape(2, 3),
    "half": torch.tensor([1.5, -2], dtype=torch.bfloat16),
    "flag": torch.tensor([True, False, True]),
    "scalar": torch.tensor(3),
    "none": torch.empty(0, 4),
}


def test_what_is_saved_is_loaded_by_us_and_by_the_library(tmp_path: Path) -> None:
    file = tmp_path / "f"
    digest, size = save(file, TENSORS, {"stage": "embed"})
    ours, theirs = load(file), load_file(file)
    assert (digest, size) == (sha256(file), file.stat().st_size)
    assert (ours.sha256, ours.metadata) == (digest, {"stage": "embed"})
    assert ours.tensors.keys() == theirs.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert ours.specs[name] == spec(tensor)
        assert ours.tensors[name].dtype == theirs[name].dtype == tensor.dtype
        assert torch.equal(ours.tensors[name], tensor)
        assert torch.equal(theirs[name], tensor)


def test_files_of_the_library_are_loaded(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "f", metadata={"a": "b"})
    loaded = load(tmp_path / "f")
    assert all(torch.equal(loaded.tensors[name], TENSORS[name]) for name in TENSORS)
    assert loaded.sha256 == sha256(tmp_path / "f")


def test_the_same_tensors_in_any_order_give_the_same_bytes(tmp_path: Path) -> None:
    save(tmp_path / "a", TENSORS, {"stage": "x"})
    save(tmp_path / "b", dict(reversed(TENSORS.items())), {"stage": "x"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_tensors_are_aligned(tmp_path: Path) -> None:
    save(tmp_path / "f", TENSORS, {})
    raw = (tmp_path / "f").read_bytes()
    head = json.loads(raw[8 : 8 + struct.unpack("<Q", raw[:8])[0]])
    head.pop("__metadata__")
    for name, entry in head.items():
        start = 8 + struct.unpack("<Q", raw[:8])[0] + entry["data_offsets"][0]
        assert start % TENSORS[name].element_size() == 0


def test_shared_strided_and_channels_last_tensors_keep_their_values(tmp_path: Path) -> None:
    base = torch.arange(24.0).reshape(1, 2, 3, 4)
    views = {
        "base": base,
        "again": base,
        "part": base[..., 1:3],
        "turned": base.transpose(1, 3),
        "last": base.contiguous(memory_format=torch.channels_last),
        "spread": torch.ones(1).expand(5),
        "learned": torch.nn.Parameter(base),
    }
    save(tmp_path / "f", views, {})
    loaded = load(tmp_path / "f").tensors
    assert all(torch.equal(loaded[name], tensor) for name, tensor in views.items())
    assert all(tensor.is_contiguous() for tensor in loaded.values())


def test_only_the_named_tensors_are_kept_and_yet_all_is_hashed(tmp_path: Path) -> None:
    digest, _ = save(tmp_path / "f", TENSORS, {})
    loaded = load(tmp_path / "f", ["half"])
    assert loaded.tensors.keys() == {"half"}
    assert loaded.specs.keys() == TENSORS.keys()
    assert loaded.sha256 == digest


def test_a_large_tensor_takes_several_pieces(tmp_path: Path) -> None:
    large = torch.arange(3_000_001, dtype=torch.int32)
    digest, _ = save(tmp_path / "f", {"large": large}, {})
    assert torch.equal(load(tmp_path / "f").tensors["large"], large)
    assert load(tmp_path / "f", ["other"]).sha256 == digest == sha256(tmp_path / "f")


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 20, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, kept: int) -> None:
    file = tmp_path / "f"
    save(file, TENSORS, {})
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(InvalidError, match="is cut short or not a safetensors file"):
        load(file)


def test_a_header_that_claims_more_than_there_is_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "f"
    for claimed in (10**6, 2**62):
        entry = {"dtype": "F32", "shape": [claimed], "data_offsets": [0, 4 * claimed]}
        head = json.dumps({"x": entry}).encode()
        file.write_bytes(struct.pack("<Q", len(head)) + head + b"1234")
        with pytest.raises(InvalidError, match="is cut short or not"):
            load(file)
    file.write_bytes(struct.pack("<Q", 2**63) + b"{}")
    with pytest.raises(InvalidError, match="is cut short or not"):
        load(file)


def test_dtypes_that_are_not_ours_are_named(tmp_path: Path) -> None:
    odd = torch.zeros(2, dtype=torch.complex64)
    with pytest.raises(InvalidError, match="tensor `x` is complex64"):
        save(tmp_path / "f", {"x": odd}, {})
    save_file({"x": odd}, tmp_path / "f")
    with pytest.raises(InvalidError, match="tensor `x` .* unknown dtype"):
        load(tmp_path / "f")


def test_no_file_is_missing_and_a_directory_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no file `.*nothing`"):
        load(tmp_path / "nothing")
    with pytest.raises(InvalidError, match="could not read"):
        load(tmp_path)


@given(
    st.sampled_from(sorted(DTYPES)),
    st.lists(st.integers(0, 3), max_size=4),
    st.text(min_size=1, max_size=9).filter(lambda name: name != "__metadata__"),
)
@settings(max_examples=40, deadline=None)
def test_any_shape_dtype_and_name_survives(
    tmp_path_factory: pytest.TempPathFactory, code: str, shape: list[int], name: str
) -> None:
    file = tmp_path_factory.getbasetemp() / "any"
    tensor = torch.randint(0, 2, shape).to(DTYPES[code])
    save(file, {name: tensor}, {})
    with safe_open(file, framework="pt") as library:
        assert torch.equal(library.get_tensor(name), tensor)
    assert torch.equal(load(file).tensors[name], tensor)


@given(st.binary(max_size=60))
@settings(max_examples=60, deadline=None)
def test_no_bytes_at_all_end_in_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "junk"
    file.write_bytes(struct.pack("<Q", len(raw)) + raw)
    try:
        load(file)
    except InvalidError:
        return
    assert json.loads(raw) is not None


def test_large_tensors_are_mapped_and_what_is_written_to_them_stays_in_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "f"
    digest, _ = save(file, TENSORS, {})
    read = load(file)
    monkeypatch.setattr("spice_cli.run.tensors.MAPPED", 4)
    found = load(file)
    assert (found.sha256, found.specs) == (digest, read.specs)
    for name, tensor in TENSORS.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert torch.equal(found.tensors[name], tensor)
    found.tensors["z"].zero_()
    assert sha256(file) == digest
    assert torch.equal(load(file).tensors["z"], TENSORS["z"])


@pytest.mark.parametrize("shape", [[2**63, 0], [2**64 - 1, 0], [0, 2**62, 4], [0, 2**60]])
def test_a_shape_that_no_tensor_can_have_is_refused(shape: list[int], tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    head = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}).encode()
    file.write_bytes(struct.pack("<Q", len(head)) + head)
    with pytest.raises(InvalidError, match="a shape that no tensor can have") as caught:
        load(file)
    assert caught.value.hint
