"""How `select-reliable` finds neighbours: exactly, or by an index whose recall it measures."""

import importlib.util
from functools import partial

from pydantic import JsonValue
from torch import Tensor

from spice_cli.config.select_reliable import SelectReliable
from spice_cli.errors import MissingError
from spice_cli.ops.approximate import approximate, recall, sampled
from spice_cli.ops.neighbors import nearest, tell_nearest
from spice_cli.ops.search import Search, gathered
from spice_cli.stages.job import Job


def searching(
    job: Job[SelectReliable], x: Tensor, voters: int
) -> tuple[Search, dict[str, JsonValue]]:
    """Return a search for neighbours among x (n, d) float32, and what the log should know of it.

    Of an approximate index it says, and logs, which share of the neighbours of a sample it finds.
    """
    kind, n = job.config.index, len(x)
    if kind not in ("ivf", "hnsw") or voters == 1:
        return partial(tell_nearest, x, voters), {}
    if importlib.util.find_spec("faiss") is None:
        package = "faiss-gpu-cu12" if job.device.type == "cuda" else "faiss-cpu"
        raise MissingError(
            f"`index={kind}` needs faiss, which is not installed",
            hint=f"pip install {package}; or compare all images with all: --set index=exact",
        )
    search, width = approximate(x, voters, kind, job.generator("index"))
    drawn = sampled(n, job.generator("recall"))
    share = recall(gathered(search, drawn, voters), nearest(x, voters, rows=drawn))
    job.track.say(
        f"`{kind}` found {share:.2%} of the nearest neighbours of {len(drawn)} images, "
        f"looking at {width:,} {'cells' if kind == 'ivf' else 'candidates'} for each"
    )
    return search, {"index": kind, "width": width, "recall": round(share, 4)}
