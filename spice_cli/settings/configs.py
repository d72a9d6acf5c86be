"""From what a person typed to a stage's config: defaults < recipe section < flags.

Torch-free, except that a training method's own settings are checked by the method's own config.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from pydantic import JsonValue, ValidationError

from spice_cli.catalog import BACKBONES, HEADS, METHODS, SELECTIONS, SEMI, load
from spice_cli.config.data import DataSpec
from spice_cli.config.frozen import Frozen
from spice_cli.config.sections import SECTIONS
from spice_cli.errors import UsageError
from spice_cli.settings.faults import close, faults_in
from spice_cli.settings.typed import asked, merge, only_given

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


def data_spec(section: Mapping[str, JsonValue], flags: Mapping[str, Any]) -> DataSpec:
    """Build the data set's specification from a recipe's `[data]` and the flags given."""
    return _checked(DataSpec, {**section, **only_given(flags)}, "data")


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
    values = merge(_without_other_method(stage, section or {}, given, say), given)
    config = SECTIONS[stage]
    for key, names in CHOICES[stage].items():
        name = values.get(key)
        if name is not None and (not isinstance(name, str) or name not in names):
            raise UsageError(f"`{name}` is not a {key} of `{stage}`{close(str(name), names)}")
    if "settings" in config.model_fields:
        return _checked_with_own(config, values, stage)
    return _checked(config, values, stage)


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
            faults += faults_in(error, stage, known)
    if faults:
        raise UsageError(f"`{stage}`: {'; '.join(faults)}")
    return checked[0].model_copy(update={"settings": checked[1].model_dump(mode="json")})


def _checked(config: type[C], values: Mapping[str, Any], section: str) -> C:
    try:
        return config.model_validate(values)
    except ValidationError as error:
        faults = faults_in(error, section, config.model_fields)
        raise UsageError(f"`{section}`: {'; '.join(faults)}") from None
