"""The confusion matrix as a picture."""

import warnings
from pathlib import Path

from torch import Tensor


def draw(table: Tensor, rows: list[str], columns: list[str], file: Path, title: str) -> None:
    """Draw counts (classes, clusters) as a PNG; colour is the share of the class."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    share = table / table.sum(1, keepdim=True).clamp(min=1)
    side = max(4.0, 0.45 * max(table.shape) + 1.5)
    with rc_context({"text.parse_math": False}), warnings.catch_warnings():  # a $ in a name is a $
        warnings.filterwarnings("ignore", "Glyph")
        figure = Figure(figsize=(side + 1, side), layout="constrained", dpi=110)
        FigureCanvasAgg(figure)
        axes = figure.add_subplot(title=title, xlabel="cluster", ylabel="class")
        axes.imshow(share.numpy(), cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(columns)), columns, rotation=45 if len(columns) > 12 else 0)
        axes.set_yticks(range(len(rows)), rows)
        if max(table.shape) <= 30:
            for row, line in enumerate(table.tolist()):
                for column, count in enumerate(line):
                    color = "white" if share[row, column] > 0.5 else "black"
                    if count:
                        axes.text(
                            column, row, count, ha="center", va="center", color=color, fontsize=8
                        )
        figure.savefig(file, format="png")
