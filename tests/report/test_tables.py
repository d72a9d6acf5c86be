import json
import re
from html import unescape

from hypothesis import given
from hypothesis import strategies as st

from spice_cli.report.tables import MOST_FILES, facts, listed, marked, matrix, scores, table

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(TEXT)
def test_no_text_can_open_a_tag(text: str) -> None:
    for html in (marked(text), table([text], [[text]]), listed(text, [text]), facts({text: text})):
        tags = set(re.findall(r"<\s*/?\s*([^\s>]+)", html))
        known = {"code", "div", "table", "thead", "tbody", "tr", "th", "details", "summary"}
        assert tags <= known | {"ul", "li", "pre"}


def test_what_stands_in_backticks_is_code() -> None:
    assert marked("stage `semi`: a < b") == "stage <code>semi</code>: a &lt; b"
    assert marked("one ` alone") == "one ` alone"


def test_a_confusion_matrix_shows_counts_shaded_by_their_share_of_the_class() -> None:
    html = matrix(["cat", "dog"], ["cluster 1", "cluster 0"], [[3, 1], [0, 5]])
    cells = re.findall(r'<td style="--share:([\d.]+)">(\d*)</td>', html)
    assert cells == [("0.750", "3"), ("0.250", "1"), ("0.000", ""), ("1.000", "5")]


def test_a_large_matrix_is_told_by_its_worst_cells() -> None:
    k = 200
    counts = [[50 if i == j else 0 for j in range(k)] for i in range(k)]
    counts[7][9], counts[3][4] = 40, 30
    names = [f"class {i}" for i in range(k)]
    html = matrix(names, [f"cluster {i}" for i in range(k)], counts)
    rows = re.findall(r"<tr><th scope=\"row\">(.*?)</tr>", html)
    assert [re.findall(r">?([^<>]+)<", row) for row in rows] == [
        ["class 7", "cluster 9", "class 9", "40"],
        ["class 3", "cluster 4", "class 4", "30"],
    ]


def test_scores_that_one_row_lacks_are_left_empty() -> None:
    html = scores({"embed": {"acc": 0.5}, "semi": {"acc": 0.75, "nmi": 0.25}})
    assert re.findall(r"<td>([\d.]*)</td>", html) == ["0.5000", "", "0.7500", "0.2500"]
    assert scores({"semi": {}}) == ""


def test_a_long_list_says_how_many_more_there_are() -> None:
    html = listed("left out", [f"{i}.png" for i in range(MOST_FILES + 7)])
    assert html.count("<li>") == MOST_FILES + 1
    assert "and 7 more" in html
    assert listed("left out", []) == ""


def test_settings_are_json() -> None:
    html = facts({"data": {"name": "été", "n": 3}})
    assert json.loads(unescape(html.split("<pre>")[1].split("</pre>")[0])) == {
        "name": "été",
        "n": 3,
    }
