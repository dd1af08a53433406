"""The page in a real browser: drawn, quiet, offline, printable."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from chaosrun.reports import render
from tests.reports import stories
from tests.reports.stories import STORIES

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

CHROMIUM = os.environ.get("CHROMIUM") or next(
    (found for name in ("chromium", "chromium-browser", "google-chrome")
     if (found := shutil.which(name))), "",
)  # fmt: skip
QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip
INK = """canvas => {
    const dots = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    let inked = 0;
    for (let i = 3; i < dots.length; i += 4) inked += dots[i] > 0;
    return inked;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM:
        pytest.skip("needs Chromium: apt-get install chromium")
    pytest.importorskip("playwright", reason="needs Playwright: pip install playwright")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield chromium
        chromium.close()


class Opened:
    """A page with everything that it complained of or asked for."""

    def __init__(self, page: Page, path: Path) -> None:
        self.page = page
        self.said: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("dialog", lambda dialog: self.said.append(f"dialog {dialog.message}"))
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(path.as_uri())
        self.asked.remove(path.as_uri())


def opened(browser: Browser, tmp_path: Path, name: str, **context: Any) -> Opened:
    story = STORIES.get(name) or getattr(stories, name)
    path = tmp_path / f"{name}.html"
    path.write_text(render("html", story()), encoding="utf-8")
    return Opened(browser.new_context(**context).new_page(), path)


@pytest.mark.parametrize("name", ["passed", "aborted", "refused-by-gate", "hostile", "long"])
def test_a_page_draws_its_charts_without_an_error_or_a_request(
    browser: Browser, tmp_path: Path, name: str
) -> None:
    view = opened(browser, tmp_path, name)
    charts = view.page.locator(".chart").all()
    for chart in charts:
        assert chart.locator("canvas").evaluate(INK) > 500
    assert len(charts) == {"refused-by-gate": 0, "hostile": 2}.get(name, 3)
    assert (view.said, view.asked) == ([], [])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_a_page_fits_its_window_and_is_readable(
    browser: Browser, tmp_path: Path, width: int, scheme: Any
) -> None:
    view = opened(
        browser, tmp_path, "aborted",
        viewport={"width": width, "height": 800}, color_scheme=scheme,
    )  # fmt: skip
    assert view.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for selector in (".verdict strong", ".reason", ".facts dt", ".pill.bad", ".pill.good", "td"):
        assert view.page.locator(selector).first.evaluate(CONTRAST) >= 4.5, selector


CONTRAST = """element => {
    const rgb = (text) => {  // also of color(srgb r g b)
        const n = text.match(/[\\d.]+/g).map(Number);
        return n.slice(0, 3).map((v) => (text.startsWith("color") ? v : v / 255));
    };
    const linear = (v) => (v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    const light = (text) => {
        const [r, g, b] = rgb(text).map(linear);
        return .2126 * r + .7152 * g + .0722 * b;
    };
    const style = (element) => getComputedStyle(element);
    let behind = element;
    while (style(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
    const a = light(style(element).color), b = light(style(behind).backgroundColor);
    return (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
}"""


def test_pointing_at_a_chart_reads_a_sample(browser: Browser, tmp_path: Path) -> None:
    view = opened(browser, tmp_path, "deviated", viewport={"width": 1200, "height": 900})
    over = view.page.locator("#check-0 .u-over")
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    assert box is not None
    view.page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 40)
    text = view.page.locator(".readout").first.inner_text()
    assert re.search(r"\+\d[\d.]*s, during: latency [\d.]+ m?s, (held|broke)", text)


def test_dragging_zooms_in_and_a_double_click_goes_back(browser: Browser, tmp_path: Path) -> None:
    view = opened(browser, tmp_path, "passed", viewport={"width": 1200, "height": 900})
    over = view.page.locator("#check-0 .u-over")
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    assert box is not None
    chart = view.page.locator("#check-0 canvas")
    whole = chart.evaluate("canvas => canvas.toDataURL()")
    view.page.mouse.move(box["x"] + 100, box["y"] + 40)
    view.page.mouse.down()
    view.page.mouse.move(box["x"] + 300, box["y"] + 40, steps=4)
    view.page.mouse.up()
    view.page.mouse.move(0, 0)
    view.page.wait_for_function(
        "old => document.querySelector('#check-0 canvas').toDataURL() !== old", arg=whole
    )
    view.page.mouse.dblclick(box["x"] + 200, box["y"] + 40)
    view.page.mouse.move(0, 0)
    view.page.wait_for_function(
        "old => document.querySelector('#check-0 canvas').toDataURL() === old", arg=whole
    )
    assert view.said == []


def test_without_scripts_the_page_still_tells_everything(browser: Browser, tmp_path: Path) -> None:
    view = opened(browser, tmp_path, "passed", java_script_enabled=False)
    text = view.page.locator("main").inner_text()
    assert "37 of 38" in text
    assert "What was learned" in text
    assert not view.page.locator(".chart").first.is_visible()


def test_a_page_prints(browser: Browser, tmp_path: Path) -> None:
    view = opened(browser, tmp_path, "stranded", color_scheme="dark")
    pdf = view.page.pdf(prefer_css_page_size=True, print_background=True)
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 9
    assert len(pdf) > 50_000
    assert view.said == []


def test_a_dark_page_is_printed_light_and_whole(browser: Browser, tmp_path: Path) -> None:
    light = opened(browser, tmp_path, "passed", color_scheme="light").page
    dark = opened(browser, tmp_path, "passed", color_scheme="dark").page
    picture = "() => document.querySelector('canvas').toDataURL()"
    assert dark.evaluate(picture) != light.evaluate(picture)
    dark.evaluate("dispatchEvent(new Event('beforeprint'))")
    dark.wait_for_function(f"old => ({picture})() === old", arg=light.evaluate(picture))
    assert dark.locator("details").evaluate_all("all => all.every(one => one.open)")
    dark.evaluate("dispatchEvent(new Event('afterprint'))")
    assert not dark.locator("details").last.evaluate("one => one.open")
