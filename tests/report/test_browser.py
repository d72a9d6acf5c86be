"""The report in a real browser: what a person sees, points at, types and presses."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from spice_cli.config.data import DataSpec
from spice_cli.config.pretrain import Pretrain
from spice_cli.ops.augment import plain
from spice_cli.report.page import Cluster, Page, Points, render
from spice_cli.report.questions import Questions
from spice_cli.report.sprite import sprite
from spice_cli.run.curation import Curation, save_curation
from spice_cli.run.manifest import Recipe, Stage
from spice_cli.run.store import Run
from spice_cli.stages.backbone import build
from spice_cli.stages.evaluate import Choices, evaluate
from spice_cli.stages.images import describe, images_of
from spice_cli.stages.keep import keep
from spice_cli.stages.perform import environment
from spice_cli.stages.report import report
from spice_cli.track import Silent

selenium = pytest.importorskip("selenium")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
if not (CHROMIUM and DRIVER):
    pytest.skip("no chromium and chromedriver here", allow_module_level=True)

from selenium.webdriver import ActionChains, Chrome, ChromeOptions  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.remote.webelement import WebElement  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

HOSTILE = "<script>document.title='owned'</script>\u2028\"'&amp;"
"""As a path: the directory ends before the slash, the file's name begins after it."""
K = 3


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a small run that nothing was trained for: three colours, sixty files."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("browser")
    noise = np.random.default_rng(0)
    for i in range(60):
        pixels = noise.integers(0, 60, (16, 16, 3), dtype=np.uint8)
        pixels[..., i % K] += 180
        file = root / "photos" / "abc"[i % K] / f"{i:02d}.png"
        if i == 5:
            file = root / "photos" / f"{HOSTILE}{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
    torch.manual_seed(0)
    run = Run.create(
        root / "r",
        describe(DataSpec(name=str(root / "photos")), lambda text: None),
        Recipe(name="none"),
        0,
    )
    config = Pretrain(backbone="small", width=8)
    net = build("small", config, 16).eval()
    images = images_of(run, lambda text: None).images
    embeddings = F.normalize(net(plain(images)).detach())
    hue = images.float().mean((2, 3)).argmax(1)
    probs = (F.one_hot(hue, K) * torch.linspace(2, 9, 60)[:, None]).softmax(1)
    weights = {f"backbone.{name}": value for name, value in net.state_dict().items()}
    made: dict[str, Any] = {
        "seed": 0,
        "environment": environment(torch.device("cpu"), "fp32"),
        "seconds": 1.0,
    }
    run.write(
        Stage.PRETRAIN, weights, config=config.model_dump(mode="json"), inputs=run.inputs(), **made
    )
    run.write(
        Stage.EMBED,
        {"embeddings": embeddings},
        config={},
        inputs=run.inputs(Stage.PRETRAIN),
        **made,
    )
    heads = {"heads.w": torch.zeros(2), "losses": torch.tensor([1.2, 1.1]), "probs": probs}
    run.write(
        Stage.SELF_LABEL,
        heads,
        config={"method": "spice"},
        inputs=run.inputs(Stage.EMBED),
        **made,
    )
    log = [{"epoch": e, "loss": 1 / e, "selection_loss": 2 / e} for e in range(1, 6)]
    (run.path / "self-label.jsonl").write_text("\n".join(map(json.dumps, log)) + "\n")
    keep(run, evaluate(run, Choices(), Silent()))
    of = run.record(Stage.SELF_LABEL).sha256
    save_curation(run.path, Curation(of=of, names={1: f"<b>bold</b> {HOSTILE}"}))
    file = root / "report.html"
    report(run, file, pictures=6, track=Silent())
    return file


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
        options.add_argument(f"--{flag}")
    options.add_argument("--window-size=1280,900")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser: Chrome, page: Path) -> Chrome:
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    scheme = {"name": "prefers-color-scheme", "value": "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    browser.get(page.as_uri())
    WebDriverWait(browser, 10, 0.02).until(
        lambda driver: driver.execute_script("return document.body.dataset.ready")
    )
    return browser


def by_id(driver: Chrome, name: str) -> WebElement:
    return driver.find_element(By.ID, name)


def read(element: WebElement) -> str:
    """Its text, also where the browser has not drawn it yet, of which `text` says nothing."""
    return element.get_attribute("textContent") or ""


def counted(driver: Chrome) -> int:
    return int(read(by_id(driver, "counted")).split()[0].replace(",", ""))


def point_at(driver: Chrome, path: str) -> None:
    """Show no other image on the map, and move the pointer to it."""
    canvas = by_id(driver, "canvas")
    driver.execute_script("byId('path').value = arguments[0]; paint()", path)
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    x, y = driver.execute_script("return places[points.path.indexOf(arguments[0])]", path)
    size = canvas.size
    ActionChains(driver, duration=0).move_to_element_with_offset(
        canvas, round(x - size["width"] / 2), round(y - size["height"] / 2)
    ).perform()


def test_every_section_is_there_and_filled(opened: Chrome) -> None:
    headings = [read(each) for each in opened.find_elements(By.TAG_NAME, "h2")]
    assert headings == [
        "Clusters", "Map", "Questions", "Odd ones", "Numbers", "Settings and provenance",
    ]  # fmt: skip
    cards = opened.find_elements(By.CLASS_NAME, "card")
    assert len(cards) == K
    assert "20 images · mean confidence" in read(cards[0])
    assert "mostly class" in read(cards[0])
    assert len(cards[0].find_elements(By.CLASS_NAME, "picture")) == 4 * 6
    assert counted(opened) == 60
    painted = opened.execute_script(
        "const d = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;"
        "return d.some((value, i) => i % 4 === 3 && value)"
    )
    assert painted
    for wanted in (".matrix td", ".chart polyline", "#odd .picture", "#settings details"):
        assert opened.find_elements(By.CSS_SELECTOR, wanted), wanted
    background = cards[0].find_element(By.CLASS_NAME, "picture")
    assert "blob:" in background.value_of_css_property("background-image")


def test_it_asks_nobody_for_anything_and_reports_no_error(opened: Chrome) -> None:
    by_id(opened, "theme").click()
    opened.execute_script("document.body.append(document.createElement('p'))")
    asked = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    addresses = {
        each["params"]["request"]["url"].split(":")[0]
        for each in asked
        if each["method"] == "Network.requestWillBeSent"
    }
    assert "file" in addresses
    assert addresses <= {"file", "blob", "data"}
    assert opened.get_log("browser") == []


def test_hostile_names_are_only_text(opened: Chrome) -> None:
    assert opened.title == "photos: 3 clusters"
    assert opened.find_elements(By.CSS_SELECTOR, "h3 b, #legend b, td b") == []
    name = f"1 <b>bold</b> {HOSTILE}"
    texts = "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)"
    assert name in opened.execute_script(texts, ".card h3 span")
    assert name in opened.execute_script(texts, "#legend button")
    assert f"{HOSTILE}5.png" in opened.execute_script("return points.path")


def test_pointing_at_the_map_tells_path_and_cluster_and_a_click_enlarges(opened: Chrome) -> None:
    assert not by_id(opened, "tip").is_displayed()
    for path in ("a/03.png", f"{HOSTILE}5.png"):
        point_at(opened, path)
        told = opened.execute_script("return tip.textContent")
        assert told.startswith(f"{path} · ")
        assert "confidence 0." in told
        assert by_id(opened, "ring").is_displayed()
    point_at(opened, "b/01.png")
    ActionChains(opened, duration=0).click().perform()
    assert by_id(opened, "closer").is_displayed()
    assert read(by_id(opened, "caption")).startswith("b/01.png · 1 <b>bold</b>")
    red, green, blue, _ = opened.execute_script(
        "return [...byId('large').getContext('2d').getImageData(200, 200, 1, 1).data]"
    )
    assert green > max(red, blue) + 80
    by_id(opened, "close").click()
    assert not by_id(opened, "closer").is_displayed()


def test_legend_slider_and_search_filter_the_map(opened: Chrome) -> None:
    legend = by_id(opened, "legend").find_elements(By.TAG_NAME, "button")
    legend[0].click()
    assert legend[0].get_attribute("aria-pressed") == "false"
    assert counted(opened) == 40
    by_id(opened, "none").click()
    assert counted(opened) == 0
    by_id(opened, "all").click()
    sure = opened.execute_script("return points.confidence.filter((c) => c >= 0.9).length")
    opened.execute_script(
        "byId('least').value = 0.9; byId('least').dispatchEvent(new Event('input'))"
    )
    assert 0 < sure < 60
    assert counted(opened) == sure
    opened.execute_script(
        "byId('least').value = 0; byId('least').dispatchEvent(new Event('input'))"
    )
    by_id(opened, "path").send_keys("B/1")
    assert counted(opened) == opened.execute_script(
        "return points.path.filter((path) => path.includes('b/1')).length"
    )


def test_clusters_are_found_sorted_and_taken_to_the_map(opened: Chrome) -> None:
    by_id(opened, "search").send_keys("BOLD")
    cards = opened.find_elements(By.CLASS_NAME, "card")
    assert [card.is_displayed() for card in cards].count(True) == 1
    assert read(by_id(opened, "shown")) == "1 of 3 clusters"
    by_id(opened, "search").clear()
    by_id(opened, "search").send_keys("2")
    opened.find_element(By.CSS_SELECTOR, ".card:not([hidden]) h3 button").click()
    assert counted(opened) == 20
    opened.execute_script("byId('sort').value = 'confidence'; byId('sort').onchange()")
    order = opened.execute_script(
        "return [...byId('cards').children].map("
        "(card) => card.textContent.match(/confidence ([.\\d]+)/)[1])"
    )
    assert order == sorted(order, reverse=True)


def test_the_map_is_walked_by_keyboard(opened: Chrome) -> None:
    canvas = by_id(opened, "canvas")
    canvas.send_keys(Keys.ARROW_RIGHT)
    first = opened.execute_script("return [chosen, ...places[chosen]]")
    canvas.send_keys(Keys.ARROW_RIGHT)
    second = opened.execute_script("return [chosen, ...places[chosen]]")
    assert second[1] > first[1]
    canvas.send_keys(Keys.ENTER)
    path = opened.execute_script("return points.path[chosen]")
    assert opened.execute_script("return byId('caption').textContent").startswith(path)
    assert by_id(opened, "closer").is_displayed()
    opened.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not by_id(opened, "closer").is_displayed()
    assert opened.switch_to.active_element == canvas
    canvas.send_keys(Keys.ESCAPE)
    assert not by_id(opened, "tip").is_displayed()


def test_galleries_are_walked_by_keyboard_and_say_what_is_shown(opened: Chrome) -> None:
    row = opened.find_element(By.CLASS_NAME, "row")
    pictures = row.find_elements(By.CLASS_NAME, "picture")
    assert [each.get_attribute("tabindex") for each in pictures] == ["0", *["-1"] * 5]
    opened.execute_script("arguments[0].focus()", pictures[0])
    pictures[0].send_keys(Keys.ARROW_RIGHT)
    focused = opened.switch_to.active_element
    assert focused == pictures[1]
    label = focused.get_attribute("aria-label")
    assert label and "confidence" in label
    assert read(opened.find_element(By.CLASS_NAME, "told")) == label
    focused.send_keys(Keys.ENTER)
    assert read(by_id(opened, "caption")) == label
    by_id(opened, "after").click()
    assert read(by_id(opened, "caption")) == pictures[2].get_attribute("aria-label")
    by_id(opened, "close").click()
    assert opened.switch_to.active_element == focused


def texts(driver: Chrome, selector: str) -> list[str]:
    return [read(each) for each in driver.find_elements(By.CSS_SELECTOR, selector)]


def answers(driver: Chrome) -> list[str]:
    return (by_id(driver, "answers").get_attribute("value") or "").splitlines()


def test_questions_are_answered_by_buttons(opened: Chrome) -> None:
    assert "question 1 of 20" in read(by_id(opened, "progress"))
    assert len(opened.find_elements(By.CSS_SELECTOR, ".asked .picture")) == 1
    first = opened.execute_script("return asked[0]")
    options = opened.find_elements(By.CSS_SELECTOR, ".option > button")
    assert len(options) == len(first["options"]) >= 2
    assert len(opened.find_elements(By.CSS_SELECTOR, ".option .picture")) == 4 * len(options)
    assert not by_id(opened, "download").is_enabled()
    opened.execute_script("arguments[0].click()", options[1])
    assert answers(opened) == ["path,cluster", f"{first['key']},{first['options'][1][0]}"]
    assert "question 2 of 20; 1 answered" in read(by_id(opened, "progress"))
    assert opened.switch_to.active_element == by_id(opened, "question")


def test_questions_are_answered_skipped_and_taken_back_by_keyboard(opened: Chrome) -> None:
    keys = opened.execute_script("return asked.map((each) => each.key)")
    likely = opened.execute_script("return asked.map((each) => each.options[0][0])")
    by_id(opened, "question").send_keys("1+s1")
    lines = [f"{keys[0]},{likely[0]}", f"{keys[1]},+", f"{keys[3]},{likely[3]}"]
    assert answers(opened) == ["path,cluster", *lines]
    box = by_id(opened, "question")
    box.send_keys(Keys.BACKSPACE, Keys.BACKSPACE, Keys.BACKSPACE)
    pressed = texts(opened, "#question [aria-pressed=true]")
    assert len(pressed) == 1 and "a new cluster" in pressed[0]
    box.send_keys("s")
    assert answers(opened) == ["path,cluster", lines[0], lines[2]]
    box.send_keys("s" * 40)
    assert "that was the last one" in read(by_id(opened, "progress"))
    box.send_keys(Keys.BACKSPACE)
    assert "question 20 of 20" in read(by_id(opened, "progress"))


def test_answers_leave_as_a_file_that_ask_reads(
    opened: Chrome, page: Path, spice: Any, tmp_path: Path
) -> None:
    folder = {"behavior": "allow", "downloadPath": str(tmp_path)}
    opened.execute_cdp_cmd("Browser.setDownloadBehavior", folder)
    by_id(opened, "question").send_keys("1" * 20)
    opened.execute_script("byId('download').click()")
    file = tmp_path / "answers.csv"
    WebDriverWait(opened, 10, 0.05).until(lambda driver: file.exists() and file.stat().st_size)
    run = shutil.copytree(page.parent / "r", tmp_path / "r")
    spice("ask", "--answers", file, "-r", run)
    lines = (run / "answers.jsonl").read_text().strip().split("\n")
    told = [json.loads(line) for line in lines]
    asked = opened.execute_script("return asked.map((each) => [each.path, each.options[0][0]])")
    assert [[each["path"], each["cluster"]] for each in told] == asked
    assert opened.get_log("browser") == []


def test_light_and_dark(opened: Chrome) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    assert opened.execute_script(ground) == "rgb(255, 255, 255)"
    by_id(opened, "theme").click()
    assert opened.execute_script(ground) == "rgb(20, 22, 26)"
    by_id(opened, "theme").click()
    assert opened.execute_script(ground) == "rgb(255, 255, 255)"


def test_dark_where_the_person_prefers_it(opened: Chrome) -> None:
    scheme = {"name": "prefers-color-scheme", "value": "dark"}
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    ground = "return getComputedStyle(document.body).backgroundColor"
    assert opened.execute_script(ground) == "rgb(20, 22, 26)"
    by_id(opened, "theme").click()
    assert opened.execute_script(ground) == "rgb(255, 255, 255)"


def test_a_phone_need_not_scroll_sideways(opened: Chrome) -> None:
    phone = {"width": 375, "height": 700, "deviceScaleFactor": 2, "mobile": True}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    WebDriverWait(opened, 5).until(lambda driver: by_id(driver, "canvas").size["width"] < 375)
    opened.execute_script("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    opened.execute_script(
        "document.querySelectorAll('.card').forEach((c) => (c.style.contentVisibility = 'visible'))"
    )
    assert opened.execute_script("return document.documentElement.scrollWidth") == 375
    point_at(opened, "a/03.png")
    assert by_id(opened, "tip").is_displayed()
    assert opened.execute_script("return tip.getBoundingClientRect().right") <= 375


@pytest.mark.slow
def test_ten_thousand_images_open_in_two_seconds(browser: Chrome, tmp_path: Path) -> None:
    n, file = 10_000, tmp_path / "report.html"
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(n, 3, 6, 6, generator=generator)
    images = F.interpolate(noise, size=32, mode="bicubic").clamp_(0, 1).mul_(255).to(torch.uint8)
    made = page_of(images, generator)
    file.write_text(render(made), encoding="utf-8")
    assert file.stat().st_size < 20e6
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    seconds = []
    for _ in range(3):
        browser.get(file.as_uri())
        WebDriverWait(browser, 20, 0.01).until(
            lambda driver: driver.execute_script("return document.body.dataset.ready")
        )
        seconds.append(browser.execute_script("return performance.now() / 1000"))
    assert counted(browser) == n
    assert sorted(seconds)[1] < 2, seconds


def page_of(images: torch.Tensor, generator: torch.Generator) -> Page:
    """Ten clusters with full galleries of images (n, 3, 32, 32), all of them on the map."""
    n, shown = len(images), 2_400
    sheet, gallery = sprite(images.split(512), n, 32), sprite([images[:shown]], shown, 32)
    names = [f"photos/2024/holiday {i:05d}.jpg" for i in range(n)]
    clusters = [
        Cluster(c, f"name {c}", n // 10, 0.9, "", {"prototypes": range(240 * c, 240 * c + 240)})
        for c in range(10)
    ]
    x, y = torch.randint(65536, (2, n), generator=generator).tolist()
    points = Points(names, [i % 10 for i in range(n)], [0.9] * n, {"pca": (x, y)}, sheet)
    none = Questions((), (), "none", "")
    return Page(
        "large",
        [],
        "confidence",
        clusters,
        gallery,
        names[:shown],
        "",
        points,
        none,
        [],
        [],
        [],
        [],
    )
