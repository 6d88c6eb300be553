# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from ansible_collections.foundation.testbed.plugins.plugin_utils.columns import to_columns
from ansible_collections.foundation.testbed.plugins.plugin_utils.judge import judge
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.ledger import ledger_rows
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.page import (
    render,
    script,
    write_report,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.series import latencies, rates
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.spacetime import WIDTH, diagram, label
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.summary import (
    MAX_LINES,
    verdict_table,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.words import plainly
from ansible_collections.foundation.testbed.plugins.plugin_utils.run_records import read_run
from ansible_collections.foundation.testbed.tests.support.synthetic_run import Shape, write_run

QUICK = Shape(rate_per_s=50.0)
KINDS = {"pass": QUICK, "fail": replace(QUICK, stale=True), "unknown": replace(QUICK, proved=False)}
EVIL = "<img src=x onerror=alert(1)>&\"'</script>"


class Page(HTMLParser):
    """Collects what a page would load, its elements, and its text outside scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.tags, self.text, self.inside = [], [], "", []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.loads += [value for name, value in attrs if name in ("src", "href", "data", "srcset") and value]
        if tag in ("script", "style"):
            self.inside.append(tag)

    def handle_endtag(self, tag):
        if self.inside and self.inside[-1] == tag:
            self.inside.pop()

    def handle_data(self, data):
        if not self.inside:
            self.text += data


@pytest.fixture(scope="module", params=KINDS)
def run(request, tmp_path_factory):
    folder = write_run(tmp_path_factory.mktemp("report") / request.param, KINDS[request.param])
    return request.param, judge(folder), folder, write_report(folder).read_text(encoding="utf-8")


def test_page_is_self_contained_and_small(run):
    _, _, _, text = run
    page = Page(text)
    assert [load for load in page.loads if not load.startswith(("data:", "#"))] == []
    assert "@import" not in text.split("</style>")[0]
    assert "url(" not in text.split("</style>")[0]
    assert len(text.encode()) < 2_500_000


def test_page_shows_verdict_reasons_charts_and_command(run):
    kind, results, folder, text = run
    page = Page(text)
    assert {"pass": "Passed", "fail": "Failed", "unknown": "Unknown"}[kind] in page.text
    assert all(reason[1:] in page.text for reason in results.reasons)
    assert json.loads((folder / "run.json").read_text())["command"] in page.text
    assert sum(1 for tag, attrs in page.tags if tag == "div" and "data-root-id" in attrs) == 4
    assert "packets dropped" in page.text
    assert ("Anomalies" in page.text) == (kind == "fail")
    assert any(tag == "svg" for tag, _ in page.tags) == (kind == "fail")


def test_summary_is_short_and_says_everything(run):
    kind, results, _, _ = run
    text = verdict_table(results.as_record())
    assert len(text.splitlines()) <= MAX_LINES
    assert f"verdict {kind.upper()}" in text
    assert "system_availability" in text
    assert all(reason[:30] in text for reason in results.reasons)


def test_summary_stays_short_with_much_to_say():
    criterion = {
        "name": "x",
        "comparison": ">=",
        "threshold": 1,
        "actual": None,
        "unit": "s",
        "verdict": "unknown",
    }
    results = {
        "scenario": "s",
        "verdict": "unknown",
        "criteria": [criterion] * 60,
        "reasons": ["why " * 99] * 60,
    }
    assert len(verdict_table(results).splitlines()) <= MAX_LINES


def _evil(value):
    """Return the same value with every text that is shown, and not looked up, turned into markup."""
    kept = ("verdict", "comparison", "outcome", "event")
    if isinstance(value, dict):
        return {key: item if key in kept else _evil(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_evil(item) for item in value]
    return value + EVIL if isinstance(value, str) else value


def test_every_text_is_escaped(tmp_path):
    folder = write_run(tmp_path / "run", replace(QUICK, stale=True))
    judge(folder)
    records = read_run(folder)
    results = _evil(json.loads((folder / "results.json").read_text()))
    results["reasons"] = [EVIL]
    records.plan, records.run, records.load = _evil(records.plan), _evil(records.run), _evil(records.load)
    records.ledger, records.samples = _evil(records.ledger), _evil(records.samples)
    page = Page(render(results, records))
    assert not any(tag == "img" or "onerror" in attrs for tag, attrs in page.tags)
    assert page.text.count("<img src=x onerror=alert(1)>") > 50
    assert sum(tag == "script" for tag, _ in page.tags) == 3


def test_a_script_cannot_be_left():
    assert "</script" not in script("x = '</script><b>'")


def test_buckets_add_up_to_all_operations(tmp_path):
    folder = write_run(tmp_path / "run", QUICK)
    records = read_run(folder)
    columns = to_columns(records.operations, records.plan)
    found = rates(columns, 60.0)
    everything = found.answered + found.failed + found.indeterminate + found.dropped
    assert everything.sum() * found.width_s == len(columns) == 3000
    assert np.allclose(everything, 50.0)
    _, quantiles = latencies(columns, 60.0)
    assert np.nanmax(quantiles["max"]) == pytest.approx(columns.latency_s[columns.answered].max() * 1000)


def test_ledger_sums_up_unbroken_evidence():
    lines = [{"node": "n1", "fault": "p", "event": "evidence", "t_s": at, "packets": at} for at in range(5)]
    lines.append({"node": "n1", "fault": "p", "event": "revert", "t_s": 9})
    first, second = ledger_rows(lines)
    assert (first["count"], first["from_s"], first["to_s"], first["detail"]) == (5, 0, 4, "packets 4")
    assert second["event"] == "revert"


def test_diagram_keeps_order_and_leaves_the_open_open():
    def op(process, f, value, start, end, outcome="ok"):
        return {
            "op": 1, "process": process, "client": "n1", "f": f, "value": value, "invoke_s": start,
            "complete_s": end, "outcome": outcome,
        }  # fmt: skip

    drawn = diagram({"operations": [
        op(1, "write", 171, 1.0, 1.1),
        op(2, "read", None, 2.0, 2.1), op(3, "cas", [1, 2], 1.05, None, "info"),
    ]})  # fmt: skip
    assert [bar.label for bar in drawn.bars] == ["w 171", "cas 1→2", "r ∅"]
    assert [bar.open for bar in drawn.bars] == [False, True, False]
    assert drawn.bars[0].x < drawn.bars[1].x < drawn.bars[0].x + drawn.bars[0].width < drawn.bars[2].x
    assert all(bar.x + bar.width <= WIDTH for bar in drawn.bars)
    assert len(drawn.lanes) == 3
    assert diagram({"operations": []}) is None
    assert label({"f": "append", "value": "x"}) == "append x"


def test_figures_of_any_kind_of_fault_are_said_plainly():
    said = plainly({
        "backend": "nfqueue", "delay": {"asked_ms": 50.0, "measured_ms": 49.63, "of": 37}, "lacks": [],
        "processes": [{"pid": 145, "name": "etcd"}], "back_s": None, "<b>": "<i>",
    })  # fmt: skip
    assert said == [
        "backend nfqueue", "delay (asked 50 ms, measured 49.63 ms, of 37)", "processes (pid 145, name etcd)",
        "<b> <i>",
    ]  # fmt: skip
