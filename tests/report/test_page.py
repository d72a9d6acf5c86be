import base64
import hashlib
import json
import re
from typing import Any

import torch

from spice_cli.report.page import Cluster, Finding, Page, Points, render
from spice_cli.report.questions import Ask, Questions
from spice_cli.report.sprite import sprite

HOSTILE = "</script><script>alert(1)</script>\u2028\"'<img src=x onerror=alert(1)>\udcff<!--"


def page(name: str, *, pictures: bool = True) -> Page:
    sheet = sprite([torch.zeros(1, 3, 32, 32, dtype=torch.uint8)], 1, 32) if pictures else None
    return Page(
        title=name,
        summary=[name],
        measure="confidence",
        clusters=[Cluster(0, name, 1, 0.5, name, {name: [0]})],
        gallery=sheet,
        captions=[name],
        heat=name,
        points=Points([name], [0], [0.5], {"pca": ([1], [2])}, sheet),
        questions=Questions([Ask(name, name, 0, [(0, 0.5)])], [(0, name)], "", name),
        findings=[Finding(name, name, [(name, [0])])],
        numbers=[],
        charts=[],
        settings=[],
    )


def data_of(html: str) -> Any:
    return json.loads(html.split('id="data">')[1].split("</script>")[0])


def test_no_name_can_become_markup() -> None:
    html, plain = render(page(HOSTILE)), render(page("x"))
    for tag in ("<script", "</script", "<img", "<!--"):
        assert html.count(tag) == plain.count(tag)
    told = data_of(html)
    assert told["clusters"][0]["name"] == HOSTILE
    assert told["points"]["path"] == [HOSTILE]
    assert told["questions"]["asked"][0]["key"] == HOSTILE
    html.encode("utf-8")


def test_only_our_script_may_run_and_nothing_may_be_fetched() -> None:
    html = render(page("x"))
    script = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert len(script) == 1
    digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)
    assert policy
    assert f"script-src 'sha256-{digest}'" in policy[1]
    assert "default-src 'none'" in policy[1]
    assert not re.search(r"(?:src|href)=\"(?!data:|#)|url\((?!\$)|https?:", html)


def test_a_run_without_images_has_no_sheets() -> None:
    html = render(page("x", pictures=False))
    assert data_of(html)["gallery"]["side"] == 0
    assert '<script type="text/plain" id="gallery-sheet"></script>' in html
