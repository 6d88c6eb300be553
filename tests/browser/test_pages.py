# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The reports as a browser shows them: verdict visible, charts drawn, no error, nothing loaded."""

from __future__ import annotations

import json

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

WORDS = {"pass": "Passed", "fail": "Failed", "unknown": "Unknown"}
CHARTS = ("throughput", "latency", "errors", "lanes")
DRAWN = """
return Bokeh.documents.flatMap(doc => doc.roots()).length > 0 &&
  Array.from(document.querySelectorAll('[data-root-id]')).every(root =>
    root.firstElementChild && root.firstElementChild.shadowRoot &&
    root.firstElementChild.shadowRoot.querySelector('canvas, .bk-Canvas'))
"""
PIXELS = """
const found = {};
for (const figure of document.querySelectorAll('figure[id^=chart-]')) {
  const seen = new Set(), todo = [figure];
  while (todo.length) {
    const one = todo.pop();
    if (one.tagName === 'CANVAS' && one.width && one.height) {
      const data = one.getContext('2d').getImageData(0, 0, one.width, one.height).data;
      for (let at = 0; at < data.length; at += 4) if (data[at + 3] > 120)
        seen.add((data[at] >> 4) * 256 + (data[at + 1] >> 4) * 16 + (data[at + 2] >> 4));
    }
    todo.push(...one.children, ...(one.shadowRoot ? one.shadowRoot.children : []));
  }
  found[figure.id.slice(6)] = seen.size;
}
return found;
"""


def opened(chromium, path, width=1280, dark=False):
    """Open a file, with the logs emptied before, and wait until its charts are drawn."""
    emulate = chromium.execute_cdp_cmd
    metrics = {"width": width, "height": 1600, "deviceScaleFactor": 1, "mobile": width < 600}
    emulate("Emulation.setDeviceMetricsOverride", metrics)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    emulate("Emulation.setEmulatedMedia", {"features": [scheme]})
    chromium.get("about:blank")
    for kind in ("browser", "performance"):
        chromium.get_log(kind)
    chromium.get(path.as_uri())
    if chromium.execute_script("return Boolean(window.Bokeh)"):
        WebDriverWait(chromium, 30).until(lambda browser: browser.execute_script(DRAWN))


def asked(chromium):
    events = [json.loads(entry["message"])["message"] for entry in chromium.get_log("performance")]
    urls = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    return [url for url in urls if not url.startswith(("file:", "data:"))]


def complaints(chromium):
    entries = chromium.get_log("browser")
    return [entry["message"] for entry in entries if entry["level"] in ("WARNING", "SEVERE")]


def sideways(chromium):
    return chromium.execute_script("return document.documentElement.scrollWidth - window.innerWidth")


@pytest.mark.parametrize("kind", WORDS)
def test_a_report_shows_its_verdict_and_charts_and_loads_nothing(chromium, runs, kind):
    opened(chromium, runs / f"20261123T231500Z-{kind}" / "report.html")
    verdict = chromium.find_element(By.ID, "verdict")
    assert verdict.is_displayed() and verdict.location["y"] < 300
    assert WORDS[kind] in verdict.text
    found = chromium.execute_script(PIXELS)
    assert set(CHARTS) <= set(found)
    assert all(colours > 3 for colours in found.values()), found
    assert (asked(chromium), complaints(chromium)) == ([], [])
    assert bool(chromium.find_elements(By.CSS_SELECTOR, "svg.st rect")) == (kind == "fail")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("page", ["index.html", "20261123T231500Z-fail/report.html"])
def test_a_page_fits_a_phone(chromium, runs, page, dark):
    opened(chromium, runs / page, width=390, dark=dark)
    assert sideways(chromium) <= 0
    assert (asked(chromium), complaints(chromium)) == ([], [])


def test_names_in_a_legend_hide_what_they_name(chromium, runs):
    opened(chromium, runs / "20261123T231500Z-pass" / "report.html")
    button = chromium.find_element(By.CSS_SELECTOR, 'button[data-hides="throughput:answered"]')
    visible = "return Bokeh.documents[0].get_model_by_name('throughput:answered').visible"
    button.click()
    assert (chromium.execute_script(visible), button.get_attribute("aria-pressed")) == (False, "false")
    button.click()
    assert chromium.execute_script(visible) is True


def test_the_charts_zoom_together(chromium, runs):
    opened(chromium, runs / "20261123T231500Z-pass" / "report.html")
    starts = chromium.execute_script("""
      const plots = Bokeh.documents[0].roots().filter(one => one.x_range);
      plots[0].x_range.start = 10;
      return plots.map(plot => plot.x_range.start)""")
    assert len(starts) >= len(CHARTS) and set(starts) == {10}


def test_the_ledger_is_folded_and_can_be_filtered(chromium, runs):
    opened(chromium, runs / "20261123T231500Z-pass" / "report.html")
    ledger = chromium.find_element(By.ID, "ledger")
    assert not ledger.get_attribute("open")
    ledger.find_element(By.TAG_NAME, "summary").click()
    ledger.find_element(By.CSS_SELECTOR, "input.filter").send_keys("n4 evidence")
    shown = [row for row in ledger.find_elements(By.CSS_SELECTOR, "tbody tr") if row.is_displayed()]
    assert len(shown) == 1 and "n4" in shown[0].text


def test_the_index_compares_any_two_runs(chromium, runs):
    opened(chromium, runs / "index.html")
    assert len(chromium.find_elements(By.CSS_SELECTOR, ".blocks a")) == 3
    for place, word in (("a", "pass"), ("b", "fail")):
        select = Select(chromium.find_element(By.ID, place))
        select.select_by_index(next(i for i, one in enumerate(select.options) if one.text.endswith(word)))
    text = chromium.find_element(By.ID, "sides").text
    assert "data_consistency" in text and "latency p99" in text and "points" in text
    paths = chromium.find_elements(By.CSS_SELECTOR, "#plot path")
    assert [len(path.get_attribute("d")) > 200 for path in paths] == [True, True]
    chromium.find_element(By.CSS_SELECTOR, ".blocks a.fail").click()
    assert "Failed" in chromium.find_element(By.ID, "verdict").text


def test_a_report_prints_on_paper(chromium, runs):
    opened(chromium, runs / "20261123T231500Z-fail" / "report.html")
    printed = chromium.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    assert len(printed["data"]) > 20_000
