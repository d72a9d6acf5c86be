"""Which room may import which, and who may know the truth."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "spice_cli"
TORCH_FREE = {
    "config", "errors", "console", "catalog", "cli", "commands", "track", "settings", "published",
    "stopping", "streams", "json_text", "visible", "figures", "cores",
}  # fmt: skip
MAY_IMPORT = {
    "errors": set(),
    "cores": set(),
    "track": set(),
    "published": set(),
    "catalog": set(),
    "visible": set(),
    "figures": set(),
    "streams": {"errors"},
    "json_text": {"errors"},
    "config": {"config"},
    "console": {"streams", "track", "visible"},
    "settings": {"settings", "catalog", "config", "errors", "json_text"},
    "ops": {"ops"},
    "models": {"models", "ops", "errors", "config", "json_text"},
    "data": {"data", "ops", "errors", "config", "catalog", "json_text", "cores"},
    "methods": {"methods", "models", "ops", "config", "errors"},
    "heads": {"heads", "models", "ops", "config", "errors"},
    "selections": {"selections", "ops", "config"},
    "semi": {"semi", "models", "ops", "config"},
    "report": {"report", "ops", "figures"},
    "run": {"run", "errors", "config", "json_text"},
    "stages": {
        "stages", "run", "data", "models", "methods", "heads", "semi", "ops", "catalog",
        "config", "errors", "report", "track", "json_text", "visible", "figures",
    },
    "commands": {
        "commands", "stages", "run", "data", "catalog", "config", "console", "errors", "settings",
        "published", "stopping", "json_text", "visible", "figures", "cores",
    },
    "cli": {"commands", "console", "stopping", "streams"},
    "stopping": {"console", "errors"},
    "api": {
        "api_plan", "catalog", "data", "errors", "run", "settings", "stages", "track",
    },
    "api_plan": {"config", "run", "settings", "stages", "track"},
    "estimator": {"api", "errors", "run", "stages"},
    "__init__": {"api", "estimator"},
    "__main__": {"cli"},
}  # fmt: skip
FILES = sorted(ROOT.rglob("*.py"))


def room(file: Path) -> str:
    return file.relative_to(ROOT).with_suffix("").parts[0]


def imported(nodes: list[ast.AST]) -> set[str]:
    names = {a.name for node in nodes if isinstance(node, ast.Import) for a in node.names}
    return names | {n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module}


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_imports_point_downwards(file: Path) -> None:
    names = imported(list(ast.walk(ast.parse(file.read_text()))))
    ours = {name.split(".")[1] for name in names if name.startswith("spice_cli.")}
    assert ours <= MAY_IMPORT[room(file)]


@pytest.mark.parametrize(
    "file", [f for f in FILES if room(f) in TORCH_FREE], ids=lambda f: str(f.relative_to(ROOT))
)
def test_the_shell_imports_no_torch_at_the_top(file: Path) -> None:
    top = imported(list(ast.parse(file.read_text()).body))
    assert not {name.split(".")[0] for name in top} & {"torch", "safetensors", "torchvision"}


def test_only_evaluate_opens_the_door_to_the_truth() -> None:
    def mentions(word: str) -> set[str]:
        return {str(f.relative_to(ROOT)) for f in FILES if word in f.read_text()}

    outside = {file for file in mentions("read_labels") if not file.startswith("data/")}
    assert outside == {"stages/truth.py"}
    assert mentions("stages.truth import") == {"stages/evaluate.py"}


def test_only_the_console_prints() -> None:
    for file in FILES:
        calls = [n for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.Call)]
        names = {n.func.id for n in calls if isinstance(n.func, ast.Name)}
        assert "print" not in names, file
