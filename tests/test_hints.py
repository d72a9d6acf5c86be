"""What is pasted from a hint runs nothing but what it says, whatever files and names are called."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent / "spice_cli"
QUOTING = {"quoted", "quote", "setting", "command", "recovery", "max", "len"}
PLAIN = {
    "', '.join(out)", "ARCHIVE", "CONFIG", "ELSEWHERE", "NETWORK", "PROCESSOR", "above", "backbone",
    "cluster", "elsewhere", "fitting", "fitting if fitting < batch else 1", "flag", "found",
    "images", "given[0]", "given[0].replace('_', '-')", "key", "key.replace('_', '-')",
    "min(map(min, train | test))", "other", "package", "said[0]", "self.stage", "self.world",
    "stage", "there", "value", "weights",
    "record.environment.spice", "record.environment.torch", "world",
}  # fmt: skip
"""Numbers, and names that are the program's own."""
COMMANDS = ("--", "spice ", "mv ", "rm ", "cp ")


def hints(file: Path) -> list[ast.JoinedStr]:
    """Find texts that name a command or an option, and have something put in."""
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.keyword) and node.arg == "hint":
            found += [each for each in ast.walk(node.value) if isinstance(each, ast.JoinedStr)]
        elif isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
            found += [node] if str(node.values[0].value).startswith(COMMANDS) else []
    return [each for each in found if any(part in ast.unparse(each) for part in ("spice", "--"))]


def bare(hint: ast.JoinedStr) -> list[str]:
    """List what is put into a text as it is."""
    parts = [each.value for each in hint.values if isinstance(each, ast.FormattedValue)]
    called = [getattr(part, "func", None) for part in parts]
    names = [getattr(call, "attr", getattr(call, "id", "")) for call in called]
    texts = zip(map(ast.unparse, parts), names, strict=True)
    return [text for text, name in texts if name not in QUOTING and text not in PLAIN]


def test_whatever_is_put_into_a_command_is_quoted() -> None:
    """In all files but the one whose commands `run/test_mend.py` hands to a shell."""
    files = {*ROOT.rglob("*.py")} - {ROOT / "run" / "mend.py"}
    found = {file: [each for hint in hints(file) for each in bare(hint)] for file in files}
    assert {str(file): each for file, each in found.items() if each} == {}
