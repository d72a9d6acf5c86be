"""The recipes that come with the program, and those that a person wrote."""

import tomllib
from pathlib import Path

from pydantic import JsonValue

from spice_cli.catalog import STAGES
from spice_cli.config.sections import SECTIONS
from spice_cli.errors import InvalidError, MissingError, UsageError
from spice_cli.settings.faults import close

Sections = dict[str, dict[str, JsonValue]]
HERE = Path(__file__).parent.parent


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
