"""Compute on two hosts that are network namespaces of this machine, and do what goes wrong there.

    sudo python -m benchmarks.hosts

Each host has a name, an address and a view of the file system of its own; one cable is between
them. torchrun starts a process on each, with gloo on the CPU. All stages on digits are compared
with two processes on one host, byte by byte; then a process is killed, the cable is pulled, and
hosts are started as they should not be. Prints how each case ended and after how many seconds.
Exits 1 where one ended otherwise than it should. Needs Linux, root and `ip` of iproute2.

`--shared ONE TWO` names two mounts of one network file system: what hosts share lies there, and
each goes to it by a mount of its own.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.kill import RECIPE, digests

HOSTS = {"hosta": "10.254.77.1", "hostb": "10.254.77.2"}
LIMIT = 300
LONG = ("--epochs", "40", "--checkpoint-seconds", "0")
CODE = Path(__file__).parent.parent
SETUP = """set -e
hostname "$1"
mount --bind "$2" /etc/hosts
if [ -n "$3" ]; then mount --bind "$4" "$3"; fi
if [ -n "$5" ]; then mount --bind "$6" "$5"; fi
shift 6
exec "$@"
"""


@dataclass(frozen=True)
class Second:
    """What is otherwise on the second host."""

    arguments: tuple[str, ...] = ()
    path: str = str(CODE)
    hides: str = ""
    """A directory, in the place of which it sees `behind`."""
    behind: str = ""
    network: str = ""
    """The network that it is told to use."""


@dataclass
class Hosts:
    """Two namespaces and the cable between them."""

    folder: Path
    shared: tuple[str, str] = ("", "")
    """Where a network file system is mounted, and the mount that the second host sees there."""
    names: list[str] = field(default_factory=lambda: [f"spice-{os.getpid()}-{x}" for x in "ab"])
    started: int = 0

    def __enter__(self) -> "Hosts":
        """Make them."""
        one, two = self.names
        for name in self.names:
            ip("netns", "add", name)
        ip("link", "add", "cable", "netns", one, "type", "veth", "peer", "cable", "netns", two)
        for name, address in zip(self.names, HOSTS.values(), strict=True):
            ip("-n", name, "addr", "add", f"{address}/30", "dev", "cable")
            ip("-n", name, "link", "set", "lo", "up")
        self.cable("up")
        lines = ["127.0.0.1 localhost", *(f"{a} {n}" for n, a in HOSTS.items())]
        (self.folder / "hosts").write_text("\n".join(lines) + "\n")
        return self

    def __exit__(self, *_: object) -> None:
        """Take them away."""
        for name in self.names:
            ip("netns", "delete", name)

    def cable(self, state: str) -> None:
        """Plug it in (`up`) or pull it (`down`)."""
        for name in self.names:
            ip("-n", name, "link", "set", "cable", state)

    def start(
        self, *arguments: str, second: Second | None = None, restarts: int = 0
    ) -> list["subprocess.Popen[str]"]:
        """Start `spice` with these arguments on both hosts."""
        self.started += 1
        found = []
        for index, (host, name) in enumerate(zip(HOSTS, self.names, strict=True)):
            own = second if second and index else Second()
            names = str(self.folder / "hosts")
            shared = self.shared if index else ("", "")
            inside = ("sh", "-c", SETUP, "sh", host, names, *shared, own.hides, own.behind)
            torchrun = (
                sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1",
                f"--rdzv-id={self.started}", "--rdzv-backend=c10d", f"--max-restarts={restarts}",
                f"--rdzv-endpoint=hosta:{29500 + self.started}", "-m", "spice_cli",
            )  # fmt: skip
            command = (*torchrun, *arguments, *own.arguments)
            found.append(
                subprocess.Popen(
                    ("ip", "netns", "exec", name, "unshare", "--uts", *inside, *command),
                    stdout=subprocess.DEVNULL,
                    stderr=(self.folder / f"{self.started}-{host}").open("w"),
                    text=True,
                    env=environment(own.path, own.network),
                    cwd=self.folder,
                )
            )
        return found

    def said(self) -> str:
        """Return what both hosts said last, without what is torchrun's."""
        texts = [(self.folder / f"{self.started}-{host}").read_text() for host in HOSTS]
        return "\n".join(text.split("torch/distributed/elastic/multi")[0] for text in texts)


def environment(path: str, network: str = "") -> Mapping[str, str]:
    """Return what a host's processes start with."""
    own = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    return {**os.environ, **own, **({"GLOO_SOCKET_IFNAME": network} if network else {})}


def ip(*arguments: str) -> None:
    """Call `ip`."""
    subprocess.run(("ip", *arguments), check=True)


def wait(processes: list["subprocess.Popen[str]"], limit: float = LIMIT) -> list[int]:
    """Return the exit codes; -9 where one had to be ended."""
    codes, end = [], time.monotonic() + limit
    for each in processes:
        try:
            codes.append(each.wait(max(0.1, end - time.monotonic())))
        except subprocess.TimeoutExpired:
            for process in [each.pid, *below(each.pid)]:
                os.kill(process, signal.SIGKILL)
            codes.append(each.wait())
    return codes


def below(process: int) -> list[int]:
    """Return the processes that a process started, and those that they started."""
    file = Path(f"/proc/{process}/task/{process}/children")
    children = [int(each) for each in file.read_text().split()] if file.exists() else []
    return children + [each for child in children for each in below(child)]


def interrupted(hosts: Hosts, run: Path, act: Callable[[int], None], restarts: int = 0) -> float:
    """Pretrain; after two epochs act on the second host's process; return how long it went on.

    That is until both have ended, or with restarts, torchrun has. On a host that is cut off it
    waits longer for the others than is waited for it here.
    """
    processes = hosts.start(*pretrain(run), restarts=restarts)
    log, end = run / "pretrain.jsonl", time.monotonic() + LIMIT
    while not log.exists() or log.read_text().count("\n") < 2:
        if time.monotonic() > end or processes[0].poll() is not None:
            raise SystemExit(f"did not start: {hosts.said()}")
        time.sleep(0.05)
    workers = [Path("/proc") / str(below(each.pid)[-1]) / "exe" for each in processes]
    act(int(workers[1].parent.name))
    started = time.monotonic()
    if restarts:
        wait(processes)
    while any(each.exists() for each in workers) and time.monotonic() < started + LIMIT:
        time.sleep(0.05)
    seconds = time.monotonic() - started
    wait(processes, 10)
    return seconds


def pretrain(run: Path) -> tuple[str, ...]:
    """Spell the command that the cases interrupt."""
    return ("pretrain", "digits", "--recipe", str(RECIPE), *LONG, "-r", str(run))


def report(case: str, seconds: float, fault: str, said: str = "") -> bool:
    """Print a row; return whether there was a fault."""
    errors = re.findall(r"^error: (.*)", said, re.MULTILINE)
    told = f"; {' / '.join(dict.fromkeys(errors))}" if errors else ""
    print(f"{case:<32}{seconds:>6.1f} s  {fault or 'as it should'}{told}", flush=True)
    return bool(fault)


def whole(hosts: Hosts, folder: Path) -> bool:
    """Compare all stages on two hosts with those of two processes on one host."""
    stages = ("run", "digits", "--recipe", str(RECIPE), "-r")
    own = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    alone = [*own, "-m", "spice_cli", *stages, str(folder / "one")]
    subprocess.run(alone, check=True, capture_output=True, env=environment(str(CODE)))
    started = time.monotonic()
    codes = wait(hosts.start(*stages, str(folder / "two")))
    seconds = time.monotonic() - started
    one, two = digests(folder / "one"), digests(folder / "two")
    other = [stage for stage in one if one[stage] != two[stage] or not one[stage]]
    fault = f"exit codes {codes}" if any(codes) else ""
    return report("all stages", seconds, fault or f"other bytes: {other}" * bool(other))


def interruptions(hosts: Hosts, folder: Path) -> bool:
    """Kill a process, and pull the cable; the same command goes on to the same bytes."""
    assert not any(wait(hosts.start(*pretrain(folder / "calm"))))
    expected, bad = digests(folder / "calm")["pretrain"], False

    def kill(process: int) -> None:
        os.kill(process, signal.SIGKILL)

    def pull(process: int) -> None:
        hosts.cable("down")

    for case, act, restarts in (
        ("killed, then repeated", kill, 0),
        ("killed, with a restart", kill, 1),
        ("cable pulled, then repeated", pull, 0),
    ):
        run = folder / case.replace(" ", "-")
        seconds, said = interrupted(hosts, run, act, restarts), hosts.said()
        fault = "" if seconds < 60 or restarts else "more than a minute"
        hosts.cable("up")
        if not restarts:
            wait(hosts.start(*pretrain(run)))
            if "goes on after epoch" not in hosts.said():
                fault = "did not go on"
        if digests(run)["pretrain"] != expected:
            fault = "other bytes"
        bad |= report(case, seconds, fault, "" if restarts else said)
    return bad


def mistakes(hosts: Hosts, folder: Path) -> bool:
    """Start the second host as it should not be: one clear error each."""
    images, empty, others = folder / "images", folder / "nothing", folder / "others"
    for number, each in enumerate((images, others)):
        each.mkdir()
        drawn = np.random.default_rng(number).integers(0, 255, (256, 8, 8, 3), dtype=np.uint8)
        np.savez(each / "x.npz", images=drawn)
    empty.mkdir()
    shutil.copytree(CODE / "spice_cli", folder / "older" / "spice_cli")
    version = folder / "older" / "spice_cli" / "__init__.py"
    version.write_text(re.sub(r'(__version__ = )".*"', r'\1"0.0.1"', version.read_text()))
    (folder / "runs").mkdir()
    cases = {
        "images not there": (Second(hides=str(images), behind=str(empty)), "does not exist"),
        "other images": (Second(hides=str(images), behind=str(others)), "are not those that"),
        "run not there": (Second(hides=str(folder / "runs"), behind=str(empty)), "is no run at"),
        "other version": (Second(path=str(folder / "older")), r"with `spice` `0.0.1`"),
        "other arguments": (Second(arguments=("--seed", "1")), "with arguments"),
        "another network": (Second(network="eth9"), "could not reach"),
    }
    bad = False
    for case, (second, wanted) in cases.items():
        run, started = folder / "runs" / case.replace(" ", "-"), time.monotonic()
        settings = ("--recipe", str(RECIPE), "--batch-size", "64", "-r", str(run))
        codes = wait(hosts.start("pretrain", str(images / "x.npz"), *settings, second=second))
        seconds, said = time.monotonic() - started, hosts.said()
        fault = "" if re.search(f"error: .*{wanted}", said) else "says nothing of it"
        if "Traceback" in said or 0 in codes:
            fault = f"exit codes {codes}: {said}"
        bad |= report(case, seconds, fault, said)
    return bad


def main() -> None:
    """Print a row a case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    groups = {"whole": whole, "interruptions": interruptions, "mistakes": mistakes}
    parser.add_argument("groups", nargs="*", default=list(groups), help=" ".join(groups))
    parser.add_argument("--shared", nargs=2, default=("", ""), metavar=("ONE", "TWO"))
    chosen = parser.parse_args()
    shared = tuple(str(Path(each).resolve()) if each else "" for each in chosen.shared)
    with (
        tempfile.TemporaryDirectory(dir=shared[0] or None) as name,
        Hosts(Path(name), (shared[0], shared[1])) as hosts,
    ):
        sys.exit(any([groups[each](hosts, Path(name)) for each in chosen.groups]))


if __name__ == "__main__":
    main()
