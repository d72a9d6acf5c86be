"""From what a person typed to a stage's config: defaults < recipe section < flags.

Torch-free, except that a training method's own settings are checked by the method's own config.
"""

import difflib
import json
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import JsonValue, ValidationError

from spice_cli.catalog import BACKBONES, HEADS, METHODS, SELECTIONS, SEMI, STAGES, load
from spice_cli.config import SECTIONS, DataSpec, Frozen
from spice_cli.errors import InvalidError, MissingError, UsageError

Sections = dict[str, dict[str, JsonValue]]
CHOICES: dict[str, dict[str, Mapping[str, str]]] = {
    "pretrain": {"method": METHODS, "backbone": BACKBONES},
    "embed": {},
    "self-label": {"method": HEADS},
    "select-reliable": {"method": SELECTIONS},
    "semi": {"method": SEMI, "backbone": BACKBONES},
}
"""Settings whose values are names in the catalogue."""
TUNED = {"self-label": ("heads", "epochs", "batch_size", "lr")}
"""Settings that all methods share, but every method has its own values of."""
C = TypeVar("C", bound=Frozen)
HERE = Path(__file__).parent


def recipe_folder() -> Path:
    """Where the recipes are: inside the installed package, or beside it in a checkout."""
    inside = HERE / "recipes"
    return inside if inside.is_dir() else HERE.parent / "recipes"


def recipe_names() -> list[str]:
    """Names of the recipes that come with the program."""
    return sorted(file.stem for file in recipe_folder().glob("*.toml"))


def recipe_file(name: str) -> Path:
    """Find a recipe by its name, or by its path if it ends in `.toml`."""
    if name.endswith(".toml"):
        if not Path(name).is_file():
            raise MissingError(f"no recipe at `{name}`", hint="`spice recipes` lists those we ship")
        return Path(name)
    if name not in recipe_names():
        raise UsageError(f"`{name}` is not a recipe{close(name, recipe_names())}")
    return recipe_folder() / f"{name}.toml"


def read_recipe(name: str) -> Sections:
    """Read a recipe's sections (`data` and one a stage), each of known name."""
    return _read(name)[0]


def last_stage(name: str) -> str | None:
    """Return the stage that a recipe ends with (its `until`); none where that is the last one."""
    return _read(name)[1]


def _read(name: str) -> tuple[Sections, str | None]:
    file = recipe_file(name)
    try:
        sections = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidError(f"`{file}` is not TOML: {error}") from None
    except OSError as error:
        raise InvalidError(f"`{file}` cannot be read: {error.strerror}") from None
    until = sections.pop("until", None)
    faults = [
        f"`[{key}]` is not a section{close(key, SECTIONS)}"
        for key, value in sections.items()
        if key not in {"data", *SECTIONS} or not isinstance(value, dict)
    ]
    if until is not None and not (isinstance(until, str) and until in STAGES):
        faults.append(f"`until` = `{until}` is not a stage{close(str(until), STAGES)}")
    if faults:
        raise UsageError(f"`{file}`: {'; '.join(faults)}")
    return sections, until


def data_spec(section: Mapping[str, JsonValue], flags: Mapping[str, Any]) -> DataSpec:
    """Build the data set's specification from a recipe's `[data]` and the flags given."""
    return _checked(DataSpec, {**section, **_given(flags)}, "data")


def stage_config(
    stage: str,
    section: Mapping[str, JsonValue] | None,
    flags: Mapping[str, Any],
    sets: Iterable[str] = (),
    say: Callable[[str], None] = lambda text: None,
) -> Any:
    """Build and check a stage's config. All faults are told at once, in one `UsageError`.

    Where the flags choose another method than the section does, what the section sets of its own
    method is left out, and `say` is told.
    """
    given = asked(flags, sets)
    values = _merge(_without_other_method(stage, section or {}, given, say), given)
    config = SECTIONS[stage]
    for key, names in CHOICES[stage].items():
        name = values.get(key)
        if name is not None and (not isinstance(name, str) or name not in names):
            raise UsageError(f"`{name}` is not a {key} of `{stage}`{close(str(name), names)}")
    if "settings" in config.model_fields:
        return _checked_with_own(config, values, stage)
    return _checked(config, values, stage)


def asked(flags: Mapping[str, Any], sets: Iterable[str] = ()) -> dict[str, Any]:
    """Return the settings that flags and `--set` gave, nested as a recipe's section is."""
    values = _given(flags)
    for text in sets:
        key, equals, value = text.partition("=")
        if not equals or not all(key.split(".")):
            raise UsageError(f"`--set {text}` is not `key=value`", hint="--set lr=0.03")
        values = _merge(values, _nested(key.split("."), _parse(value)))
    return values


def uneven(
    stage: str,
    section: Mapping[str, JsonValue] | None,
    flags: Mapping[str, Any],
    sets: Iterable[str] = (),
) -> dict[str, Any]:
    """Return a method's settings for clusters of very different size, where it has any.

    The method is the one that flags or else the section choose.
    """
    names = CHOICES[stage].get("method", {})
    before = {"method": SECTIONS[stage].model_fields["method"].default} if names else {}
    name = str({**before, **(section or {}), **asked(flags, sets)}.get("method"))
    return dict(getattr(load(names[name]), "uneven", {})) if name in names else {}


def close(name: str, names: Iterable[str]) -> str:
    """Suggest what was meant, or list what there is."""
    names = list(names)
    found = difflib.get_close_matches(name, names, n=1)
    return f", did you mean `{found[0]}`?" if found else f"; there are {', '.join(names)}"


def _without_other_method(
    stage: str,
    section: Mapping[str, JsonValue],
    given: Mapping[str, Any],
    say: Callable[[str], None],
) -> Mapping[str, JsonValue]:
    """Leave out what a recipe sets for its own method where another one is asked for."""
    names, shared = CHOICES[stage].get("method", {}), SECTIONS[stage].model_fields
    if "settings" not in shared:
        return section
    before = section.get("method", shared["method"].default)
    if before == given.get("method", before) or not isinstance(before, str) or before not in names:
        return section
    own = {*load(names[before]).Config.model_fields, *TUNED.get(stage, ())}
    if dropped := [key for key in section if key in own]:
        listed = ", ".join(f"`{key}`" for key in dropped)
        say(f"`{stage}` by `{given['method']}`, so without the recipe's {listed} of `{before}`")
    return {key: value for key, value in section.items() if key not in dropped}


def _checked_with_own(config: type[Frozen], values: dict[str, Any], stage: str) -> Frozen:
    """Check a stage's settings and its method's own, which end up in `settings`."""
    shared = config.model_fields
    if values.get("settings") is not None:
        raise UsageError(f"`settings` is filled by `{stage}`; give a method's settings by name")
    method = load(CHOICES[stage]["method"][values.get("method", shared["method"].default)]).Config
    known = [*shared, *method.model_fields]
    own = {key: value for key, value in values.items() if key not in shared}
    kept = {key: value for key, value in values.items() if key in shared}
    checked, faults = [], []
    for kind, part in ((config, kept), (method, own)):
        try:
            checked.append(kind.model_validate(part))
        except ValidationError as error:
            faults += _faults(error, stage, known)
    if faults:
        raise UsageError(f"`{stage}`: {'; '.join(faults)}")
    return checked[0].model_copy(update={"settings": checked[1].model_dump(mode="json")})


def _checked(config: type[C], values: Mapping[str, Any], section: str) -> C:
    try:
        return config.model_validate(values)
    except ValidationError as error:
        faults = _faults(error, section, config.model_fields)
        raise UsageError(f"`{section}`: {'; '.join(faults)}") from None


def _faults(error: ValidationError, section: str, known: Iterable[str]) -> list[str]:
    lines = []
    for fault in error.errors(include_url=False):
        key = ".".join(map(str, fault["loc"])) or section
        if fault["type"] == "extra_forbidden":
            lines.append(f"`{key}` is not a setting of `{section}`{close(key, known)}")
        else:
            message = fault["msg"].removeprefix("Value error, ")
            lines.append(f"`{key}` = `{fault['input']}`: {message[0].lower()}{message[1:]}")
    return lines


def _given(flags: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in flags.items() if value is not None}


def _nested(keys: list[str], value: Any) -> dict[str, Any]:
    return {keys[0]: _nested(keys[1:], value) if keys[1:] else value}


def _merge(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(low)
    for key, value in high.items():
        inner = out.get(key)
        both = isinstance(inner, Mapping) and isinstance(value, Mapping)
        out[key] = _merge(inner, value) if both else value  # type: ignore[arg-type]
    return out


def _parse(value: str) -> Any:
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value
