"""The page, in a real browser: Debian's chromium without a window. Skipped where there is none."""

import base64
import json

import pytest
from serve_small import png

selenium = pytest.importorskip("selenium", reason="selenium drives the browser")
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select, WebDriverWait  # noqa: E402


class Page:
    """The page of a service in the browser, as wide as a phone or a desk."""

    def __init__(self, browser, address, width=1000):
        self.browser, self.address = browser, address
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        for kind in ("browser", "performance"):
            browser.get_log(kind)  # what was before
        browser.get(address)

    def one(self, selector):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector):
        return self.one(selector).text

    def wait(self, until, *, why="the page does not get there"):
        return WebDriverWait(self.browser, 20).until(lambda _: until(), why)

    def run(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    def narrow(self):
        return self.run("return document.documentElement.scrollWidth <= document.documentElement.clientWidth")

    def elsewhere(self):
        """Every address that was asked for which is not this service's."""
        entries = (json.loads(entry["message"])["message"] for entry in self.browser.get_log("performance"))
        sent = (one["params"]["request"]["url"] for one in entries if one["method"] == "Network.requestWillBeSent")
        return [url for url in sent if url.startswith(("http", "ws")) and not url.startswith(self.address)]


@pytest.fixture(scope="module")
def drawn(made, tmp_path_factory):
    """A picture with a bar, a plain one, and one that is none."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "bar.png").write_bytes(png(made.pictures[-1]))
    (folder / "plain.png").write_bytes(png(made.pictures[0]))
    (folder / "none.png").write_bytes(b"nothing")
    return folder


@pytest.mark.parametrize("width", [390, 1200])
def test_a_picture_is_dropped_and_judged(made, scorers, started, chromium, drawn, width):
    process = started(made.folder / "parts", made.folder / "flows")
    page = Page(chromium, f"http://127.0.0.1:{process.port}/", width)
    page.wait(lambda: page.text("#about").startswith("parts: PCA"))
    assert page.narrow()
    page.one("#files").send_keys(f"{drawn / 'bar.png'}\n{drawn / 'plain.png'}")
    page.wait(lambda: page.text("#status") == "2 pictures are scored.")
    _, bar = chromium.find_elements(By.CSS_SELECTOR, "article")
    expected = scorers.parts.explain(made.pictures[[-1, 0]])
    assert bar.find_element(By.CSS_SELECTOR, "h2").text == "bar.png"
    words = bar.find_element(By.CSS_SELECTOR, ".verdict").text
    assert words.startswith("anomaly")
    assert float(words.split("score ")[1].split(" ")[0]) == pytest.approx(expected.score[0], rel=1e-3)
    assert float(words.split("p-value ")[1]) == pytest.approx(expected.p_value[0], rel=1e-3)
    regions = expected.regions(0)
    boxes = bar.find_elements(By.CSS_SELECTOR, "rect.line")
    assert [float(boxes[0].get_attribute(name)) for name in ("x", "y", "width", "height")] == list(regions[0].box)
    assert len(boxes) == len(regions)
    assert not bar.find_element(By.CSS_SELECTOR, ".heat").get_attribute("hidden")
    page.wait(lambda: page.run("return [...document.images].every((one) => one.complete && one.naturalWidth === 16)"))
    places = page.run(
        "return ['.picture', '.heat', 'svg'].map((what) => arguments[0].querySelector(what).getBoundingClientRect())"
        ".map((box) => [box.x, box.y, box.width, box.height].map(Math.round))",
        bar,
    )
    assert places[0] == places[1] == places[2]
    assert page.narrow()
    box = bar.find_element(By.CSS_SELECTOR, ".show-heat")
    box.send_keys(Keys.SPACE)
    assert not bar.find_element(By.CSS_SELECTOR, ".heat").is_displayed()
    bar.find_element(By.CSS_SELECTOR, ".show-regions").send_keys(Keys.SPACE)
    assert not bar.find_element(By.CSS_SELECTOR, "svg").is_displayed()

    drop = (
        "const data = new DataTransfer(); const bytes = Uint8Array.from(atob(arguments[0]), (c) => c.charCodeAt(0));"
        "data.items.add(new File([bytes], 'dropped.png', {type: 'image/png'}));"
        "document.getElementById('files').dispatchEvent("
        "new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}))"
    )
    page.run(drop, base64.b64encode((drawn / "bar.png").read_bytes()).decode())
    page.wait(lambda: page.text("#status").startswith("dropped.png: anomaly score"))
    assert page.elsewhere() == []
    assert chromium.get_log("browser") == []

    page.one("#files").send_keys("\n".join(str(drawn / name) for name in ("none.png", "plain.png")))
    page.wait(lambda: "wrong" in page.one("#status").get_attribute("class"))
    first, wrong = page.text("#status").split("\n")
    assert first.startswith("plain.png: ")  # one that cannot be used does not stand in the way of others
    assert wrong == "none.png: it is not a picture in PNG, JPEG, BMP, TIFF or WebP format"
    assert len(chromium.find_elements(By.CSS_SELECTOR, "article")) == 4
    shown = "return [...document.images].filter((one) => one.src.startsWith('blob:')).map((one) => one.src)"
    again = (
        "return Promise.all(arguments[0].map((one) => new Promise((done) => Object.assign(new Image(), "
        "{src: one, onload: () => done('there'), onerror: () => done('gone')}))))"
    )
    assert set(page.run(again, page.run(shown))) == {"gone"}

    Select(page.one("#model")).select_by_visible_text("flows, version 1")
    row = page.one("#row")
    assert not page.one("#files").is_displayed()
    assert json.loads(row.get_attribute("value")) == {"bytes": 0, "service": "", "encrypted": False}
    row.send_keys(Keys.CONTROL, "a")
    row.send_keys(json.dumps({"bytes": 1e6, "service": "<b>dns</b>", "encrypted": True}))
    row.send_keys(Keys.TAB, Keys.ENTER)  # to the button, by keys
    page.wait(lambda: len(chromium.find_elements(By.CSS_SELECTOR, "article")) == 5)
    assert len(page.one("article").find_elements(By.CSS_SELECTOR, "tbody tr")) == 3
    row.send_keys(Keys.CONTROL, "a")
    row.send_keys('{"bytes": "x"}')
    page.one("#send").click()
    page.wait(lambda: page.text("#status").startswith("row 0 has no column"))
    assert page.narrow()
    blocked = "return fetch('https://example.org').then(() => 'asked', () => 'refused')"
    assert page.run(blocked) == "refused"  # by the policy of the page


def test_a_token_is_asked_for(made, started, chromium, drawn):
    process = started(made.folder / "parts", ODDGAN_TOKEN="open sesame")
    page = Page(chromium, f"http://127.0.0.1:{process.port}/")
    page.wait(lambda: page.one("#token").is_displayed())
    assert page.text("#status").startswith("give the token of this service")
    page.one("#token").send_keys("wrong", Keys.ENTER)
    page.wait(lambda: page.one("#token").is_displayed() and page.text("#status"))
    page.one("#token").clear()
    page.one("#token").send_keys("open sesame", Keys.ENTER)
    page.wait(lambda: page.text("#about").startswith("parts: PCA"))
    assert not page.one("#token").is_displayed()
    page.one("#files").send_keys(str(drawn / "bar.png"))
    page.wait(lambda: page.text("#status").startswith("bar.png: anomaly"))
