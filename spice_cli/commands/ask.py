import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spice_cli.commands.locate import locate
from spice_cli.commands.options import DeviceOption, RunOption, SeedOption
from spice_cli.console import Terminal, emit, emit_lines, prompt, say, warn
from spice_cli.errors import InvalidError, UsageError
from spice_cli.visible import json_line

if TYPE_CHECKING:
    from spice_cli.stages.asking import Asking, Question

KEYS = "a cluster's number or name · n none of these · + a new cluster · s skip · q stop"


def ask(
    questions: Annotated[
        int, typer.Option("--questions", "-q", min=1, help="How many to ask at most.")
    ] = 50,
    answers: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Take answers from a CSV of path,cluster, or a .jsonl of such objects, instead of "
            "asking. A cluster is a number, a name, or + for a new one; empty: none is given.",
        ),
    ] = None,
    list_: Annotated[
        bool,
        typer.Option("--list", help="Only print the questions, a JSON object a line."),
    ] = False,
    apply: Annotated[
        bool, typer.Option("--apply", help="Only make the answers into clusters again.")
    ] = False,
    run: RunOption = None,
    seed: SeedOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Ask about the images that would teach most, and mend the clusters by the answers.

    Shows an image's path and the clusters it may be in, each with images that stand for it. Type a
    cluster's number or name; n: none of these; +: a new cluster; s: skip; q: stop. Every answer is
    in the run at once. At the end they are made into clusters, kept as the run's stage `ask`, which
    evaluate, report, predict and export then take; what was there stays.
    """
    if sum([answers is not None, list_, apply]) > 1:
        raise UsageError("only one of `--answers`, `--list` and `--apply` at a time")
    asking_here = answers is None and not list_ and not apply
    if asking_here and run == Path("-"):
        raise UsageError("stdin cannot name both the run and the answers", hint="--run PATH")
    path = locate(run)

    from spice_cli.run.store import Run
    from spice_cli.stages.ask import ask
    from spice_cli.stages.asking import Asking
    from spice_cli.stages.perform import choose_device

    opened = Run.open(path)
    asking = Asking(opened, choose_device(device), Terminal())
    if asking.others:
        warn(f"{asking.others:,} answers about older results are left out")
    if list_:
        emit_lines(_spelled(asking, each) for each in asking.questions(questions))
        return
    if answers is not None:
        asking.keep(_given(asking, answers))
    elif asking_here:
        _talk(asking, questions)
    say(f"{asking.told:,} answers about `{asking.asked.stage}`")
    if not ask(asking, opened.manifest.seed if seed is None else seed):
        say("`ask` is up to date")
    emit(opened.path)


def _talk(asking: "Asking", count: int) -> None:
    """Ask until enough is asked, nothing is left, or the person stops."""
    say(f"which of these clusters does the image belong to? {KEYS}")
    for number in range(1, count + 1):
        question = asking.next()
        if question is None:
            say("there is nothing left to ask")
            return
        say("")
        say(f"{number}/{count}  {question.path}")
        for cluster, share in zip(question.options, question.shares, strict=True):
            like = ", ".join(asking.prototypes(cluster, question.row)) or "none other"
            say(f"  {_title(asking, cluster)}  {share:.0%}  like {like}")
        said = _heard(asking, question)
        if said == "stop":
            return
        asking.answer(question.row, said)


def _heard(asking: "Asking", question: "Question") -> Any:
    """Return what was typed: a cluster, those that it is not, None to skip, or `stop`."""
    while True:
        text = prompt("> ", sys.stdin)
        if text is None or text.strip().lower() == "q":
            return "stop"
        typed = text.strip()
        if typed.lower() in ("s", "n"):
            return None if typed.lower() == "s" else question.options
        found = _cluster(asking, typed)
        if found is not None:
            return found
        there = ", ".join(map(str, asking.present[:30]))
        say(f"{KEYS}; there are {there}")


def _cluster(asking: "Asking", text: str) -> int | None:
    if text == "+":
        return asking.new
    named = [cluster for cluster, name in asking.names.items() if name == text]
    if named:
        return named[0]
    if text.isascii() and text.isdigit() and len(text) < 10 and int(text) in asking.present:
        return int(text)
    return None


def _given(asking: "Asking", file: Path) -> list[tuple[int, Any]]:
    """Turn a file of answers into rows and clusters; what cannot be is told all at once."""
    from spice_cli.stages.answers import read_given, row_of

    train = asking.run.manifest.data.train
    known = {path: row for row, path in enumerate(asking.asked.paths[:train])}
    known |= {str(row): row for row in range(train) if str(row) not in known}
    root, out, faults = Path(asking.asked.root), [], []
    for each in read_given(file):
        row = row_of(each["path"], known, root)
        found = _cluster(asking, each["cluster"]) if each["cluster"] else None
        if row is None:
            faults.append(f"`{each['path']}` is not a training image of the run")
        elif each["cluster"] and found is None:
            faults.append(f"there is no cluster `{each['cluster']}`")
        elif found is not None:
            out.append((row, found))
    if faults:
        more = f", and {len(faults) - 3} more faults" if len(faults) > 3 else ""
        there = ", ".join(map(str, asking.present[:20]))
        raise InvalidError(f"`{file}`: {'; '.join(faults[:3])}{more}", hint=f"clusters: {there}")
    return out


def _spelled(asking: "Asking", question: "Question") -> str:
    pairs = zip(question.options, question.shares, strict=True)
    told = {
        "path": question.path,
        "row": question.row,
        "options": [
            {
                "cluster": cluster,
                "name": asking.names.get(cluster, ""),
                "share": share,
                "prototypes": asking.prototypes(cluster, question.row),
            }
            for cluster, share in pairs
        ],
    }
    return json_line(told)


def _title(asking: "Asking", cluster: int) -> str:
    name = asking.names.get(cluster)
    return f"{cluster} {name}" if name else str(cluster)
