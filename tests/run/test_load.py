import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spice_cli.errors import InvalidError, MissingError, SpiceError
from spice_cli.run.load import load_manifest
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run


def put(run: Run, value: Any) -> None:
    (run.path / "run.json").write_text(json.dumps(value))


def changed(value: Any, path: list[Any], new: Any) -> Any:
    """A copy in which what is at `path` is `new`, or gone where that is `KeyError`."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    if len(path) == 1 and new is KeyError:
        del copy[path[0]]
    elif path[0] in copy or isinstance(copy, list):
        copy[path[0]] = changed(copy[path[0]], path[1:], new)
    else:
        copy[path[0]] = new
    return copy


def test_no_run_is_missing(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(MissingError, match=f"there is no run at `{path}`") as failure:
            load_manifest(path)
        assert (failure.value.exit_code, "spice pretrain" in failure.value.hint) == (3, True)
    (tmp_path / "file").write_text("")
    with pytest.raises(MissingError):
        load_manifest(tmp_path / "file")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is not JSON at line 1 column 0"),
        ('{"format": 1,', "it is not JSON at line 1"),
        ("[]", "is not a manifest: it is not a table"),
        ("\xff", "it is not JSON"),
        ("[" * 5000, "it is not JSON"),
    ],
)
def test_what_is_not_a_manifest_is_named(run: Run, text: str, message: str) -> None:
    (run.path / "run.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidError) as failure:
        load_manifest(run.path)
    assert message in str(failure.value)
    assert f"`{run.path / 'run.json'}`" in str(failure.value)
    assert failure.value.exit_code == 4


RECORD = ["stages", "embed"]


@pytest.mark.parametrize(
    ("path", "new", "message"),
    [
        (["data", "name"], KeyError, "`data.name` is missing"),
        (["colour"], "red", "`colour` is unknown"),
        (["seed"], "one", "`seed` is not a whole number"),
        (["seed"], 1.5, "`seed` is not a whole number"),
        (["data", "train"], 0, "`data.train` is below 1"),
        (["data", "fingerprint"], "abc", "`data.fingerprint` is not of the form"),
        (["data"], 3, "`data` is not a table"),
        (["data", "spec", "protocol"], "half", "`data.spec.protocol` is not 'whole' or 'split'"),
        (["format"], 0, "`format` is not 1"),
        (["format"], "2", "`format` is not 1"),
        (["recipe", "name"], None, "`recipe.name` is not a text"),
        (["stages", "embd"], {}, "`stages.embd` is not 'pretrain', 'embed'"),
        ([*RECORD, "file"], "../../secret", "`stages.embed.file` is not of the form"),
        ([*RECORD, "seconds"], "x", "`stages.embed.seconds` is not a number"),
        ([*RECORD, "finished"], "2026-01-01T00:00:00", "is not a time with its zone"),
        ([*RECORD, "tensors", "embeddings", "shape"], "8", "is not a list"),
        ([*RECORD, "inputs", "semi"], "a" * 64, "`semi` cannot be an input of `embed`"),
        ([*RECORD, "inputs", "embed"], "a" * 64, "`embed` cannot be an input of `embed`"),
    ],
)
def test_a_wrong_field_is_named(whole: Run, path: list[str], new: Any, message: str) -> None:
    put(whole, changed(json.loads((whole.path / "run.json").read_text()), path, new))
    with pytest.raises(InvalidError) as failure:
        Run.open(whole.path)
    assert message in str(failure.value)
    assert "\n" not in str(failure.value)


def test_further_faults_are_counted(run: Run) -> None:
    put(run, {"format": 1})
    with pytest.raises(InvalidError, match=r"`data` is missing \(1 more like it\)"):
        Run.open(run.path)


def test_a_newer_format_says_to_upgrade(whole: Run) -> None:
    value = json.loads((whole.path / "run.json").read_text())
    put(whole, {**value, "format": 2, "stages": [], "clouds": True})
    with pytest.raises(InvalidError, match="was written by a newer `spice`") as failure:
        Run.open(whole.path)
    assert failure.value.hint == "pip install --upgrade spice-cli"
    assert failure.value.exit_code == 4


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else items
    return [at, *(place for key, each in items for place in places(each, (*at, key)))]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["a" * 64, "data", "embed", "embed.safetensors", "run.json", "x" * 300]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.data())
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_manifest_ends_in_a_traceback(whole: Run, draw: st.DataObject) -> None:
    manifest = whole.manifest.model_dump(mode="json")
    for _ in range(draw.draw(st.integers(1, 2))):
        place = list(draw.draw(st.sampled_from(places(manifest)[1:])))
        manifest = changed(manifest, place, draw.draw(JSON | st.just(KeyError)))
    put(whole, manifest)
    try:
        run = Run.open(whole.path)
    except SpiceError:
        return
    for stage in Stage:
        run.state(stage, verify=True)
        run.up_to_date(stage, {}, {}, 0)
        try:
            run.read(stage)
        except SpiceError as error:
            assert str(error)


def test_runs_in_a_directory_that_is_none_are_named(run: Run) -> None:
    with pytest.raises(MissingError) as failure:
        load_manifest(run.path.parent)
    assert failure.value.hint == f"in it there are runs: --run {run.path}"
