# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is written beside the report: JUnit, the Markdown summary, the index; and that none may lose a run."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from ansible_collections.foundation.testbed.plugins.plugin_utils import conclude
from ansible_collections.foundation.testbed.plugins.plugin_utils.judge import judge_records
from ansible_collections.foundation.testbed.plugins.plugin_utils.junit import junit_xml
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.index import (
    MAX_POINTS,
    render,
    thinned,
    write_index,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.markdown import summary
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.metric_charts import left_out
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.probes import (
    availability,
    probe_spans,
)
from ansible_collections.foundation.testbed.tests.support import synthetic_metrics
from ansible_collections.foundation.testbed.tests.support.synthetic_run import Shape, write_run

FAILED = Shape(rate_per_s=50.0, stale=True)


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    folder = write_run(tmp_path_factory.mktemp("runs") / "20261123T231500Z-fail", FAILED)
    results, records = judge_records(folder)
    return folder, results.as_record(), records


def test_a_crash_in_a_report_keeps_the_verdict_and_the_other_files(judged, monkeypatch):
    folder, results, records = judged

    def crash(*_):
        raise RuntimeError("no paper")

    monkeypatch.setattr(conclude, "write_report", crash)
    problems = conclude.publish(folder, results, records)
    assert problems == ["report.html could not be written: RuntimeError: no paper"]
    assert json.loads((folder / "results.json").read_text())["verdict"] == "fail"
    assert {"junit.xml", "summary.md"} <= {path.name for path in folder.iterdir()}
    assert (folder.parent / "index.html").exists()


def test_the_summary_goes_to_the_page_of_the_job_as_well(judged, monkeypatch, tmp_path):
    folder, results, records = judged
    page = tmp_path / "page.md"
    page.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    conclude.publish(folder, results, records)
    assert page.read_text() == f"before\n{(folder / 'summary.md').read_text()}\n"


def test_the_summary_says_verdict_criteria_faults_anomalies_and_command(judged):
    _, results, records = judged
    text = summary(results, records.plan, records.run)
    assert text.startswith("## ❌ Failed: A majority goes on while a minority is cut off\n\n**etcd broke ")
    assert "| data_consistency | ≥ 100 % | 50 % | ❌ fail |" in text
    assert re.search(
        r"\| partition-1: partition n1\+n2\+n3 \\\| n4\+n5 \| 15.0 \| 35.0 \| .* s \| ✅ proved", text
    )
    assert "(while partition-1 held)" in text
    assert records.run["command"] in text


def test_text_of_a_run_is_no_markup_in_the_summary():
    text = summary({"verdict": "unknown", "reasons": ["<b>|`x`"], "scenario": "[a](b)"}, {}, {})
    assert "<b>" not in text.replace("\\<b>", "") and "[a]" not in text


def test_junit_keeps_the_schemas_in_use(judged):
    """Ant's schema wants these attributes and this order of elements; Jenkins' allows them."""
    _, results, records = judged
    suite = ElementTree.fromstring(junit_xml(results, records.run)).find("testsuite")
    wanted = {
        "id",
        "package",
        "name",
        "hostname",
        "timestamp",
        "time",
        "tests",
        "failures",
        "errors",
        "skipped",
    }
    assert set(suite.attrib) == wanted
    assert suite.get("timestamp") == "2026-11-23T23:15:00"
    order = [element.tag for element in suite]
    cases = order.count("testcase")
    assert order == ["properties", *["testcase"] * cases, "system-out", "system-err"]
    assert int(suite.get("tests")) == cases == len(results["criteria"]) + 3
    assert all({"name", "classname", "time"} == set(case.attrib) for case in suite.iter("testcase"))


def test_the_steady_state_is_a_case_of_its_own_and_told_once():
    before = {"state": "healthy", "is": True, "held": True, "reason": ""}
    after = {**before, "held": False, "reason": "healthy was false on n1"}
    reasons = ["The steady state was not back within 30 s: healthy was false on n1."]
    results = {
        "verdict": "fail", "reasons": reasons,
        "steady_state": {"before": [before], "after": [after], "after_s": 4.9},
    }  # fmt: skip
    suite = ElementTree.fromstring(junit_xml(results)).find("testsuite")
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "0")
    assert "| healthy is true | ✅ held | ❌ did not hold |" in summary(results, {}, {})


def test_the_index_names_every_judged_run_once(judged, tmp_path):
    names = [f"20261123T23150{place}Z-etcd" for place in range(3)]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(json.dumps({**judged[1], "run": name}))
    (tmp_path / "latest").symlink_to(names[-1])
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "results.json").write_text("{")
    text = write_index(tmp_path).read_text()
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    assert [run["run"] for run in data] == list(reversed(names))
    assert all(f'href="{name}/report.html"' in text for name in names)


def test_an_index_without_runs_says_so():
    assert "No run has been judged yet" in render([], 0)


def test_a_name_cannot_leave_the_data_of_the_index():
    run = {"run": "</script><b>", "scenario": "s", "verdict": "pass", "criteria": [], "latency": {}}
    assert "</script><b>" not in render([run], 1)


def test_a_long_run_is_thinned_to_means():
    found = thinned(
        {"middle_s": list(range(600)), "answered": [2.0] * 600, "latency_ms": {"p50": [None] * 600}}
    )
    assert len(found["t"]) == MAX_POINTS and set(found["answered"]) == {2.0} and set(found["p50"]) == {None}
    assert thinned({}) == {}


def test_probes_tell_when_a_node_answered():
    shape = replace(FAILED, duration_s=10.0, cut_s=4.0, heal_s=6.0)
    probes = synthetic_metrics.probes(shape)
    spans = probe_spans(probes, 10.0)
    assert [(one.kind, one.from_s, one.to_s) for one in spans["write"] if one.node == "n4"] == [
        ("answered", 0.0, 4.0), ("no answer", 4.0, 6.0), ("in part", 6.0, 7.0), ("answered", 7.0, 10.0),
    ]  # fmt: skip
    assert availability(probes, 10.0)["n4"]["write"] == pytest.approx(0.75)
    assert availability(probes, 10.0)["n1"] == {"read": 1.0, "write": 1.0}


def test_what_the_page_has_no_room_for_is_told():
    """No series and no line is left out without a word."""
    points = [[0.0, 1.0], [1.0, 2.0]]
    lines = [{"label": f"n{i}", "points": points} for i in range(30)]
    series = [{"name": f"s{i}", "title": f"S{i}", "lines": lines[: 30 if i == 0 else 1]} for i in range(26)]
    assert left_out({"series": series}, 60.0) == [
        "S0: 6 more lines are in metrics.json.",
        "Not drawn, but in metrics.json: S24, S25.",
    ]
