"""The page, as text: escaped, self-contained, small."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from chaosrun.reports import render
from chaosrun.reports.wording import clean
from tests.reports import stories
from tests.reports.stories import STORIES

VOID = {"meta", "link", "br", "path", "input", "img", "hr"}


class Page(HTMLParser):
    """What a page consists of; complains of tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        (self.scripts if self.open and self.open[-1] == "script" else self.texts).append(data)


@pytest.mark.parametrize("name", [*STORIES, "hostile"])
def test_a_page_is_well_formed_and_fetches_nothing(name: str) -> None:
    story = STORIES.get(name, stories.hostile)
    page = Page(render("html", story()))
    for tag, attributes in page.tags:
        assert tag not in {"link", "img", "iframe", "object", "embed", "base", "form"}
        assert not attributes.keys() & {"src", "href", "srcset", "action", "background"}
        assert not any(name.startswith("on") for name in attributes)
    styles = "".join(re.findall(r"<style>.*?</style>", render("html", story()), re.DOTALL))
    assert "url(" not in styles
    assert "@import" not in styles


def test_hostile_text_shows_as_text() -> None:
    harmless, hostile = (
        Page(render("html", stories.passed())),
        Page(render("html", stories.hostile())),
    )
    kinds = {tag for tag, _ in harmless.tags}
    assert {tag for tag, _ in hostile.tags} <= kinds | {"ul", "li", "details", "b"}
    scripts = [tag for tag, _ in hostile.tags if tag == "script"]
    assert len(scripts) == 4
    seen = "".join(hostile.texts)
    assert "<script>alert('x')</script>" in seen
    assert all(c in "\n\u00a0" or clean(c) == c for c in seen)


def test_the_data_of_the_charts_is_json_that_cannot_end_its_script() -> None:
    text = render("html", stories.hostile())
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text)
    assert found is not None
    assert not set("<>&\u2028") & set(found[1])
    data = json.loads(found[1])
    assert data["charts"]["check-0"]["bounds"] == [["<", 300.0]]
    assert "<script>" in data["bands"][0][0]


@pytest.mark.parametrize("name", STORIES)
def test_a_normal_page_is_small(name: str) -> None:
    assert len(render("html", STORIES[name]()).encode()) < 120_000


def test_a_long_run_is_thinned_out_and_no_failure_is_lost() -> None:
    events = stories.long(30)
    text = render("html", events)
    assert len(text.encode()) < 300_000
    found = re.search(r'id="data">(.*?)</script>', text)
    assert found is not None
    chart = json.loads(found[1])["charts"]["check-0"]
    assert len(chart["t"]) == len(chart["v"]) == len(chart["o"]) == len(chart["m"])
    assert len(chart["t"]) < 2200
    assert chart["o"].count("1") == 5  # four during, one after


def test_without_scripts_the_numbers_stand_in_tables() -> None:
    text = "".join(Page(render("html", stories.passed())).texts)
    for part in ("37 of 38", "412 ms", "13.5 ms", "1 of 3 targets (33%)"):
        assert part in text
