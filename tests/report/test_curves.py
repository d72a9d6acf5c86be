import math
import re

from spice_cli.report.curves import MOST, chart


def points_of(svg: str) -> list[tuple[float, float]]:
    line = re.search(r'<polyline[^>]*points="([^"]*)"', svg)
    assert line
    return [tuple(map(float, pair.split(","))) for pair in line[1].split()]  # type: ignore[misc]


def test_larger_values_are_drawn_higher_and_later_ones_further_right() -> None:
    drawn = points_of(chart("loss", {"loss": [(1, 3.0), (2, 1.0), (3, 2.0)]}))
    (x1, y1), (x2, y2), (x3, y3) = drawn
    assert x1 < x2 < x3
    assert y1 < y3 < y2


def test_what_is_no_finite_number_is_left_out() -> None:
    svg = chart("loss", {"loss": [(1, 3.0), (2, math.nan), (3, math.inf), (4, 2.0)]})
    assert len(points_of(svg)) == 2
    assert not re.search(r"\b(nan|inf)\b", svg)
    assert chart("loss", {"loss": [(1, math.nan)]}) == ""


def test_a_line_that_stays_level_is_drawn() -> None:
    assert len({y for _, y in points_of(chart("rate", {"lr": [(1, 0.1), (2, 0.1)]}))}) == 1


def test_one_point_is_a_dot_and_the_mark_a_ring() -> None:
    svg = chart("heads", {"head": [(0, 1.5)]}, axis="head", mark=(0, 1.5))
    assert svg.count("<circle") == 2
    assert 'class="mark"' in svg
    assert "chosen: head 0, 1.5" in svg


def test_a_long_line_is_thinned_and_keeps_its_ends() -> None:
    drawn = points_of(chart("loss", {"loss": [(i, float(i)) for i in range(100_000)]}))
    assert len(drawn) == MOST
    assert (drawn[0], drawn[-1]) == ((58.0, 162.0), (348.0, 12.0))


def test_numbers_at_the_axis_have_at_most_seven_letters() -> None:
    svg = chart("rate", {"lr": [(1, 2.993749895574549e-07), (2, 0.0199987654)]})
    ticks = re.findall(r'text-anchor="end">([^<]*)<', svg)[:3]
    assert len(ticks) == 3
    assert all(len(tick) <= 7 for tick in ticks)


def test_names_are_escaped() -> None:
    svg = chart('<b>"', {"<i>": [(1, 1), (2, 2)], "&": [(1, 2), (2, 3)]}, axis="<u>")
    assert not re.search(r'<[biu]>|""', svg)
    assert "&lt;i&gt;" in svg
