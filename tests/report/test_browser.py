"""Pages in a real browser: Debian's chromium without a window. Skipped where there is none.

One browser opens one page after the other; nothing is downloaded, and the page may not ask for anything.
"""

import dataclasses
import json
import urllib.parse

import numpy as np
import pytest

from oddgan import report

selenium = pytest.importorskip("selenium", reason="selenium drives the browser")
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select, WebDriverWait  # noqa: E402


class Opened:
    """A page in the browser."""

    def __init__(self, browser, path):
        self.browser, self.path, self.address = browser, path, path.as_uri()

    def open(self, width=1280, script=True):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not script})
        for kind in ("browser", "performance"):
            self.browser.get_log(kind)  # what was before
        self.browser.get(self.address)
        if script:  # on a busy machine the page may be there before its script has run
            WebDriverWait(self.browser, 20).until(lambda _: self.all("button.views"))
        return self

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def seen(self, selector):
        return [one for one in self.all(selector) if one.is_displayed()]

    def listed(self):
        """The cells of the rows that the listing shows."""
        rows = "[...document.querySelectorAll('.listing tbody tr')]"
        return self.run(f"return {rows}.map((row) => [...row.cells].map((cell) => cell.innerText))")

    def run(self, script):
        return self.browser.execute_script(script)

    def requests(self):
        """Every address that was asked for, but the page's own and what is within it."""
        entries = (json.loads(entry["message"])["message"] for entry in self.browser.get_log("performance"))
        sent = (one["params"]["request"]["url"] for one in entries if one["method"] == "Network.requestWillBeSent")
        return [url for url in sent if urllib.parse.urlsplit(url).scheme != "data" and url != self.address]


@pytest.fixture
def page(chromium, evaluation, tmp_path):
    """60 rows with hostile names, 12 of them shown."""
    random, more = np.random.default_rng(1), []
    for i in range(9):
        pictured = evaluation.examples[i % 3]
        row = 4 * i + 5
        more.append(
            dataclasses.replace(
                pictured,
                group="random",
                row=row,
                name=evaluation.names[row],
                score=float(evaluation.scores[row]),
                p_value=float(evaluation.p_values[row]),
                is_anomaly=bool(evaluation.is_anomaly[row]),
                label=bool(evaluation.labels[row]),
                kind=evaluation.kinds[row],
                picture=random.integers(0, 255, (90, 100, 3), dtype=np.uint8),
                anomaly_map=random.random((90, 100), dtype=np.float32),
                mask=None,
            )
        )
    names = ('"><img src=x onerror=alert(1)>.png', "</script><script>alert(2)</script>.png", *evaluation.names[2:])
    e = dataclasses.replace(evaluation, names=names, examples=(*evaluation.examples, *more))
    for suffix in report.SUFFIXES:
        report.write(e, tmp_path / f"r{suffix}", ["oddgan evaluate '<i>&' \"$(x)\""])
    return Opened(chromium, tmp_path / "r.html")


def number(text):
    return float(text.replace(",", ""))


def test_the_page_opens_without_errors_and_without_requests(page):
    page.open()
    assert page.browser.get_log("browser") == []
    assert page.requests() == []
    assert page.run("return document.querySelectorAll('img[src=\"x\"], script:not(:last-of-type)').length") == 0
    assert page.run("return [...document.images].every((one) => one.complete && one.naturalWidth > 0)")
    blocked = "return fetch('https://example.org').then(() => 'asked', () => 'refused')"
    assert page.run(blocked) == "refused"  # by the policy of the page
    assert "Content Security Policy" in page.browser.get_log("browser")[0]["message"]


def test_the_numbers_are_those_of_the_json(page):
    keys = json.loads(page.path.with_suffix(".json").read_text())
    page.open()
    values = [one.text for one in page.all(".tile .value")]
    assert values[:2] == [f"{keys['estimates'][name]['value']:.3f}" for name in ("auroc", "average_precision")]
    page.one("details.listing summary").click()
    by_name = {row["name"]: row for row in keys["rows"]}
    rows = page.listed()
    assert len(rows) == 60
    for name, score, p_value, _, label, kind in rows:
        row = by_name[name]
        assert number(score) == pytest.approx(row["score"], rel=1e-5)
        assert number(p_value) == pytest.approx(row["p_value"], rel=1e-3)
        assert ((label == "anomalous"), kind) == (row["label"], row["kind"])
    for item in page.all("[data-item]"):
        row = by_name.get(item.get_attribute("data-name"))
        assert row is None or number(item.get_attribute("data-score")) == row["score"]


def test_the_gallery_filters_and_sorts(page):
    page.open()
    items = len(page.seen("[data-item]"))
    assert items == 12
    assert page.one("form[data-galleries] output").text == "12 of 12 shown"
    Select(page.one("form[data-galleries] [data-filter=kind]")).select_by_visible_text("<b>scratch</b>")
    shown = page.seen("[data-item]")
    assert 0 < len(shown) < items
    assert {one.get_attribute("data-kind") for one in shown} == {"<b>scratch</b>"}
    assert len(page.seen(".group")) < 4  # no group without anything in it
    Select(page.one("form[data-galleries] [data-filter=kind]")).select_by_visible_text("all")
    Select(page.one("form[data-galleries] [data-filter=verdict]")).select_by_visible_text("missed")
    assert {one.get_attribute("data-verdict") for one in page.seen("[data-item]")} == {"missed"}
    Select(page.one("form[data-galleries] [data-filter=verdict]")).select_by_visible_text("all")
    for order, key, sign in (("score", "data-score", -1), ("p", "data-p", 1)):
        Select(page.one("[data-sort]")).select_by_value(order)
        values = [sign * float(one.get_attribute(key)) for one in page.seen("[data-item]")]
        assert len(values) == items
        assert values == sorted(values)
    Select(page.one("[data-sort]")).select_by_value("")
    assert len(page.seen(".group h3")) == 4


def test_the_large_view_slides_steps_and_closes_by_keys(page):
    page.open()
    first, second = page.all("button.views")[:2]
    first.send_keys(Keys.ENTER)
    dialog = page.one("dialog")
    assert dialog.is_displayed()
    name = page.one("#large-name").text
    assert name == page.all("[data-item]")[0].get_attribute("data-name")
    opacities = "return [...document.querySelectorAll('.stage img')].map((one) => Number(one.style.opacity))"
    assert page.run(opacities) == [1, 1, 1]  # its heat map
    slider = page.one("dialog input")
    assert slider.get_attribute("aria-valuetext") == "heat map"
    slider.send_keys(Keys.HOME)
    assert page.run(opacities) == [1, 0, 0]
    assert slider.get_attribute("aria-valuetext") == "picture"
    page.run("const s = document.querySelector('dialog input'); s.value = 0.5; s.dispatchEvent(new Event('input'))")
    assert page.run(opacities) == [1, 0.5, 0]
    page.one(".stage").send_keys(Keys.ARROW_RIGHT)
    assert page.one("#large-name").text == page.all("[data-item]")[1].get_attribute("data-name")
    page.one(".stage").send_keys(Keys.ARROW_LEFT)
    page.one(".stage").send_keys(Keys.ARROW_LEFT)
    assert page.one("#large-name").text == page.all("[data-item]")[11].get_attribute("data-name")
    page.one(".stage").send_keys(Keys.ARROW_RIGHT)
    page.one(".stage").send_keys(Keys.ESCAPE)
    assert not dialog.is_displayed()
    assert page.run("return document.activeElement") == first
    assert first != second
    assert page.browser.get_log("browser") == []


def test_the_listing_finds_filters_and_sorts(page):
    page.open()
    page.one("details.listing summary").click()
    find = page.one("[data-find]")
    find.send_keys("TEST/01")
    assert len(page.listed()) == 10
    assert page.one("form[data-listing] output").text == "1 to 10 of 10 rows"
    find.send_keys(Keys.CONTROL, "a", Keys.DELETE)
    assert len(page.listed()) == 60
    verdict = Select(page.one("form[data-listing] [data-filter=verdict]"))
    verdict.select_by_visible_text("missed")
    assert {row[3] for row in page.listed()} == {"missed"}
    verdict.select_by_visible_text("all")
    head = page.all(".listing thead th")[1]
    for direction in ("ascending", "descending"):
        head.find_element(By.TAG_NAME, "button").click()
        assert head.get_attribute("aria-sort") == direction
        values = [number(row[1]) for row in page.listed()]
        assert values == sorted(values, reverse=direction == "descending")


def test_without_script_everything_can_be_read(page):
    page.open(script=False)
    try:
        assert page.seen("form, dialog, button") == []
        assert len(page.seen("figure[data-item] img")) == 36
        assert len(page.all(".listing tbody tr")) == 60
        assert page.seen("pre")[0].text == "oddgan evaluate '<i>&' \"$(x)\""
    finally:
        page.browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


@pytest.mark.parametrize("width", [375, 1280])
def test_nothing_runs_out_of_the_page(page, width):
    page.open(width)
    assert page.run("const e = document.documentElement; return e.scrollWidth - e.clientWidth") == 0
    cut = (
        "return [...document.querySelectorAll('svg.chart')].filter((one) => one.checkVisibility() && "
        "one.getAttribute('aria-label').startsWith('Histogram') && "
        "one.getBoundingClientRect().right > document.documentElement.clientWidth).length"
    )
    assert page.run(cut) == 0
    page.one("button.views").click()
    box = page.run("const b = document.querySelector('dialog').getBoundingClientRect(); return [b.left, b.right]")
    assert 0 <= box[0] < box[1] <= width
