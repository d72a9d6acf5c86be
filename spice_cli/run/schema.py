"""What each stage leaves: tensors by name, with named axes. No torch here but in `check`.

Axes: n images, d features, v views of each image, h heads, k clusters, m reliable images. For
`select-reliable` n counts the images that are trained on, for all others every image of the run.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

from spice_cli.errors import InvalidError
from spice_cli.run.manifest import Stage, TensorSpec

if TYPE_CHECKING:
    from torch import Tensor

Kind = Literal["any", "float", "int64"]
_DTYPES: dict[str, tuple[str, ...]] = {
    "float": ("float16", "bfloat16", "float32", "float64"),
    "int64": ("int64",),
}


class Part(NamedTuple):
    """One tensor, or with a name that ends in `.*` one or more tensors of any shape."""

    name: str
    axes: tuple[str, ...] = ()
    kind: Kind = "any"
    needed: Literal["always", "made here", "no"] = "always"
    """`made here`: may be missing from what another program made."""

    def names(self, name: str) -> bool:
        """Whether a tensor of that name is this part."""
        prefix = self.name.removesuffix("*")
        return name.startswith(prefix) and name != prefix if prefix != self.name else name == prefix


SCHEMA: dict[Stage, tuple[Part, ...]] = {
    Stage.PRETRAIN: (
        Part("backbone.*"),
        Part("projections", ("n", "p"), "float", "no"),
        Part("probs", ("n", "k"), "float", "no"),
    ),
    Stage.EMBED: (
        Part("embeddings", ("n", "d"), "float"),
        Part("weak", ("v", "n", "d"), "float", "no"),
        Part("strong", ("v", "n", "d"), "float", "no"),
    ),
    Stage.SELF_LABEL: (
        Part("heads.*", needed="made here"),
        Part("model.*", needed="no"),
        Part("losses", ("h",), "float", "made here"),
        Part("probs", ("n", "k"), "float"),
    ),
    Stage.SELECT_RELIABLE: (
        Part("index", ("m",), "int64"),
        Part("label", ("m",), "int64"),
        Part("consistency", ("n",), "float", "made here"),
    ),
    Stage.SEMI: (
        Part("model.*", needed="made here"),
        Part("method.*", needed="no"),
        Part("probs", ("n", "k"), "float"),
    ),
    Stage.ASK: (
        Part("heads.*"),
        Part("probs", ("n", "k"), "float"),
    ),
}


def check(
    stage: Stage,
    tensors: "Mapping[str, Tensor]",
    *,
    axes: Mapping[str, int],
    imported: bool = False,
) -> dict[str, int]:
    """Check the tensors of a stage and return the size of every axis, those given included.

    Args:
        stage: whose tensors they are.
        tensors: by name.
        axes: sizes known from outside, as n from the data set.
        imported: another program made them; `heads.*`, `losses`, `consistency` and `model.*` may
            be missing.

    Raises:
        InvalidError: names the tensor, what was expected and what was found.
    """
    from spice_cli.run.tensors import spec
    from spice_cli.run.values import check_values

    specs = {name: spec(tensor) for name, tensor in tensors.items()}
    sizes = check_specs(stage, specs, axes=axes, imported=imported)
    check_values(stage, tensors, sizes)
    return sizes


def check_specs(
    stage: Stage,
    specs: Mapping[str, TensorSpec],
    *,
    axes: Mapping[str, int],
    imported: bool = False,
) -> dict[str, int]:
    """Check names, shapes and dtypes alone; as `check`."""
    parts = SCHEMA[stage]
    for part in parts:
        optional = part.needed == "no" or (imported and part.needed == "made here")
        if not optional and not any(map(part.names, specs)):
            found = ", ".join(f"`{name}`" for name in list(specs)[:5]) or "nothing"
            raise InvalidError(f"`{stage}` needs a tensor `{_shown(part, {})}`, found {found}")
    sizes = dict(axes)
    # By part, so that the first tensor of the schema is the one that later ones must agree with.
    for part in parts:
        for name in filter(part.names, specs):
            _check_spec(stage, name, part, specs[name], sizes)
    for name in specs:
        if not any(part.names(name) for part in parts):
            known = ", ".join(f"`{part.name}`" for part in parts)
            raise InvalidError(
                f"tensor `{name}` is not one that `{stage}` leaves, expected {known}"
            )
    return sizes


def _check_spec(
    stage: Stage, name: str, part: Part, found: TensorSpec, sizes: dict[str, int]
) -> None:
    if part.kind != "any" and found.dtype not in _DTYPES[part.kind]:
        raise InvalidError(
            f"tensor `{name}` of `{stage}` is {found.dtype}, expected {part.kind}",
        )
    if part.name.endswith("*"):
        return
    fits = len(found.shape) == len(part.axes) and all(
        size > 0 and sizes.get(axis, size) == size
        for axis, size in zip(part.axes, found.shape, strict=True)
    )
    if not fits:
        raise InvalidError(
            f"tensor `{name}` of `{stage}` has shape {found.shape}, expected {_shown(part, sizes)}"
        )
    sizes.update(zip(part.axes, found.shape, strict=True))


def _shown(part: Part, sizes: Mapping[str, int]) -> str:
    """Spell as in `embeddings (n, d)`, or where sizes are known `(n = 5, d)`."""
    if part.name.endswith("*"):
        return part.name
    axes = ", ".join(f"{axis} = {sizes[axis]}" if axis in sizes else axis for axis in part.axes)
    return f"({axes})" if sizes else f"{part.name} ({axes})"
