"""Lines and dots as SVG, readable without a script and by a screen reader."""

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 360, 190, 58, 28, 12, 12
MOST = 400
"""Points of a line that are drawn; of longer ones an even choice."""
Point = tuple[float, float]


def chart(
    title: str,
    lines: Mapping[str, Sequence[Point]],
    *,
    axis: str = "epoch",
    dots: bool = False,
    mark: Point | None = None,
) -> str:
    """Draw up to four named lines (or `dots`) of (x, y) and mark a point; nothing where none is.

    Points that are no finite numbers are left out.
    """
    finite = {
        name: kept
        for name, points in lines.items()
        if (kept := _thinned([p for p in points if all(map(math.isfinite, p))]))
    }
    every = [point for points in finite.values() for point in points]
    if not every:
        return ""
    x0, x1 = _range([x for x, _ in every])
    y0, y1 = _range([y for _, y in every])

    def place(point: Point) -> Point:
        return (
            LEFT + (point[0] - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - (point[1] - y0) / (y1 - y0) * (HEIGHT - BOTTOM - TOP),
        )

    drawn = []
    for number, points in enumerate(finite.values()):
        places = [place(point) for point in points]
        if dots or len(places) == 1:
            drawn += [_circle(at, 3, f"line{number}") for at in places]
        else:
            joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            drawn.append(f'<polyline class="line line{number}" points="{joined}"/>')
    if mark is not None:
        drawn.append(_circle(place(mark), 6, "mark"))
    middle = HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) / 2
    keys = "".join(
        f'<span class="key key{number}">{escape(name)}</span>' for number, name in enumerate(finite)
    )
    return (
        f'<figure class="chart"><figcaption>{escape(title)} {keys if len(finite) > 1 else ""}'
        f'</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(f"{title}: {_said(finite, axis, mark)}")}">'
        f'<path class="axis" d="M{LEFT},{TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>'
        f'<path class="grid" d="M{LEFT},{TOP}H{WIDTH - RIGHT}M{LEFT},{middle}H{WIDTH - RIGHT}"/>'
        f"{_tick(LEFT - 6, TOP + 4, _short(y1), 'end')}"
        f"{_tick(LEFT - 6, middle + 4, _short((y0 + y1) / 2), 'end')}"
        f"{_tick(LEFT - 6, HEIGHT - BOTTOM, _short(y0), 'end')}"
        f"{_tick(LEFT, HEIGHT - 10, f'{x0:g}', 'start')}"
        f"{_tick(WIDTH - RIGHT, HEIGHT - 10, f'{axis} {x1:g}', 'end')}"
        f"{''.join(drawn)}</svg></figure>"
    )


def _said(lines: Mapping[str, Sequence[Point]], axis: str, mark: Point | None) -> str:
    said = [f"{name} from {p[0][1]:.4g} to {p[-1][1]:.4g}" for name, p in lines.items()]
    return "; ".join([*said, *([f"chosen: {axis} {mark[0]:g}, {mark[1]:.4g}"] if mark else [])])


def _thinned(points: list[Point]) -> list[Point]:
    if len(points) <= MOST:
        return points
    return [points[round(i * (len(points) - 1) / (MOST - 1))] for i in range(MOST)]


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _short(value: float) -> str:
    """Spell a number in seven letters at most."""
    spelled = (f"{value:.{digits}g}" for digits in (4, 3, 2, 1))
    return next((text for text in spelled if len(text) <= 7), f"{value:.0e}")


def _circle(at: Point, radius: int, kind: str) -> str:
    return f'<circle class="{kind}" cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="{radius}"/>'


def _tick(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'
