# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json
import shutil
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from ansible_collections.foundation.testbed.plugins.plugin_utils import criteria
from ansible_collections.foundation.testbed.plugins.plugin_utils.judge import SEVERITY, decide, judge, worst
from ansible_collections.foundation.testbed.plugins.plugin_utils.junit import junit_xml
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.page import write_report
from ansible_collections.foundation.testbed.plugins.plugin_utils.run_records import RunRecords, read_run
from ansible_collections.foundation.testbed.tests.support.synthetic_run import Shape, write_run
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

QUICK = Shape(rate_per_s=50.0)
RECORDS = (
    "plan.json", "run.json", "load.json", "history.jsonl.gz", "ledger.jsonl", "samples.jsonl",
)  # fmt: skip


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "good", QUICK)


@pytest.fixture
def run(good, tmp_path):
    return shutil.copytree(good, tmp_path / "run")


def accept(operations, clock_error_ns):
    keys = len({operation.key for operation in operations})
    return {"name": "yes", "verdict": "pass", "anomalies": [], "detail": {"keys": keys}, "reason": ""}


def change(folder, name, edit):
    path = folder / name
    value = json.loads(path.read_text())
    edit(value)
    path.write_text(json.dumps(value))


def unknown(folder, words, **more):
    results = judge(folder, checkers={"register": accept}, **more)
    assert results.verdict == "unknown", results.reasons
    assert any(words in reason for reason in results.reasons), results.reasons
    assert all(reason.endswith(".") for reason in results.reasons)
    return results


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["pass", "pass"], "pass"), (["pass", "unknown"], "unknown"), (["unknown", "fail", "pass"], "fail"),
        ([], "unknown"), (["pass", "??"], "unknown"),
    ],
)  # fmt: skip
def test_order_of_verdicts(verdicts, expected):
    assert worst(verdicts) == expected


def test_a_good_run_passes_with_the_real_checker(run):
    results = judge(run)
    assert (results.verdict, results.reasons) == ("pass", [])
    assert results.overhead_s == pytest.approx(14.2)
    assert json.loads((run / "results.json").read_text()) == json.loads(json.dumps(results.as_record()))
    assert results.faults[0]["recovery_s"] == pytest.approx(results.criteria[2]["actual"])


def test_stale_reads_fail_and_the_anomaly_names_the_fault(tmp_path):
    results = judge(write_run(tmp_path / "bad", replace(QUICK, stale=True)))
    assert results.verdict == "fail"
    assert results.checks[0]["verdict"] == "fail"
    assert results.checks[0]["anomalies"][0]["faults"] == ["partition-1"]
    assert "read" in results.reasons[0]


def test_a_failed_criterion_outweighs_what_is_unknown(run):
    change(run, "plan.json", lambda plan: plan["criteria"][3].update(threshold=0.0))
    (run / "ledger.jsonl").unlink()
    results = judge(run, checkers={"register": accept})
    assert results.verdict == "fail"
    assert results.reasons[0].startswith("error_rate is ")
    assert "ledger.jsonl is missing." in results.reasons


def test_a_fault_without_proof(tmp_path):
    unknown(write_run(tmp_path / "odd", replace(QUICK, proved=False)), "Fault partition-1 is not proved: n4")


def test_too_few_answers(run):
    change(run, "plan.json", lambda plan: plan["minimum_load"].update(operations=10_000))
    unknown(run, "Too little load")


def test_too_small_a_share_of_the_rate(run):
    change(run, "plan.json", lambda plan: plan["load"][0].update(rate_per_s=60.0))
    unknown(run, "83.3% of the declared rate")


@pytest.mark.parametrize(
    "edit", [lambda plan: plan.update(load=[]), lambda plan: plan["load"][0].update(rate_per_s=0)]
)
def test_a_load_of_zero(run, edit):
    change(run, "plan.json", edit)
    (run / "load.json").unlink()
    (run / "history.jsonl.gz").unlink()
    results = unknown(run, "no load")
    assert not any("missing" in reason for reason in results.reasons)


def test_no_operation_during_a_fault(run):
    records = read_run(run)
    records.operations = [op for op in records.operations if not 14e9 < op.intended_ns < 36e9]
    results = decide(records, [accept(records.operations, 0)])
    assert "No operation was sent while fault partition-1 held." in results.reasons
    assert results.verdict == "unknown"


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda own: own[0]["final_read"].update(read=3, unread=["r0-1"]), "final read is incomplete"),
        (lambda own: own[0].update(final_read=None), "did not read every key"),
        (lambda own: own.clear(), "left no record of itself"),
        (lambda own: own[0].update(finished=False), "did not finish"),
        (lambda own: own[0]["lateness_ms"].update(p99=300.0), "Overloaded generator"),
        (lambda own: own[0].update(lateness_ms=None), "how late"),
        (lambda own: own[0].update(sent=99_999), "history is not whole"),
    ],
)
def test_a_generator_in_doubt(run, edit, words):
    change(run, "load.json", edit)
    unknown(run, words)


@pytest.mark.parametrize(("timeout_s", "late"), [(2.9, True), (3.1, False)])
def test_a_generator_may_be_late_by_a_tenth_of_what_operations_are_given(run, timeout_s, late):
    change(run, "load.json", lambda own: own[0]["lateness_ms"].update(p99=300.0))
    change(run, "plan.json", lambda plan: plan["load"][0].update(operation_timeout_s=timeout_s))
    assert any("Overloaded generator" in reason for reason in judge(run).reasons) is late


@pytest.mark.parametrize(
    ("late_ms", "criterion", "verdict"),
    [
        (1.0, "error_rate", "fail"),
        (300.0, "error_rate", "unknown"),
        (300.0, "linearizable-register", "fail"),
    ],
)
def test_what_an_overloaded_generator_measures_fails_nobody(run, late_ms, criterion, verdict):
    change(run, "load.json", lambda own: own[0]["lateness_ms"].update(p99=late_ms))
    wanted = [{"name": criterion, "threshold": -1.0, "comparison": "<="}]
    change(run, "plan.json", lambda plan: plan.update(criteria=wanted))
    (judged,) = judge(run).criteria
    assert judged["verdict"] == verdict
    assert ("overloaded" in judged["reason"]) is (verdict == "unknown")


def test_a_checker_that_crashes(run):
    def crash(operations, clock_error_ns):
        raise RuntimeError("boom")

    results = judge(run, checkers={"register": crash})
    assert results.verdict == "unknown"
    assert any("crashed: RuntimeError: boom" in reason for reason in results.reasons)


def test_a_checker_that_cannot_decide(run):
    def undecided(operations, clock_error_ns):
        return {"name": "c", "verdict": "unknown", "anomalies": [], "detail": {"keys": 3, "undecided": 1}}

    results = judge(run, checkers={"register": undecided})
    assert results.verdict == "unknown"
    assert "Check c is undecided." in results.reasons


def test_a_workload_without_a_checker(run):
    results = judge(run, checkers={})
    assert results.verdict == "unknown"
    assert any("no checker for workload 'register'" in reason for reason in results.reasons)


def test_clocks_of_several_observers_widen_the_check(run):
    def two(plan):
        plan["load"].append({**plan["load"][0], "observer": "observer2", "rate_per_s": 0})

    change(run, "plan.json", two)
    change(
        run, "run.json", lambda record: record.update(clock_offset_ms={"observer1": -0.5, "observer2": 1.5})
    )
    seen = []
    judge(
        run,
        checkers={"register": lambda operations, error_ns: seen.append(error_ns) or accept(operations, 0)},
    )
    assert seen == [1_500_000]


def test_an_error_of_an_agent(run):
    with (run / "ledger.jsonl").open("a") as stream:
        stream.write(json.dumps({"node": "n2", "fault": None, "event": "error", "message": "stopped"}) + "\n")
    unknown(run, "The agent of n2 reported an error: stopped.")


def test_a_run_that_was_not_started(run):
    for name in RECORDS[2:]:
        (run / name).unlink()
    results = unknown(run, "n3 is not healthy", preflight=["n3 is not healthy."])
    assert results.reasons == ["n3 is not healthy."]
    assert write_report(run).exists()


def test_nothing_to_judge_by():
    assert decide(RunRecords(), []).verdict == "unknown"


@pytest.mark.parametrize("name", RECORDS)
@pytest.mark.parametrize("content", [None, b"", b"[1, 2", b"\x1f\x8b\x08junk", b'"text"\n', b'{"a": 1}\n'])
def test_a_missing_or_broken_record_is_unknown(run, name, content):
    if content is None:
        (run / name).unlink()
    else:
        (run / name).write_bytes(content)
    results = judge(run, checkers={"register": accept})
    assert results.verdict == "unknown"
    assert results.reasons
    if content in (None, b"[1, 2", b'{"a": 1}\n'):  # the others come to the page as nothing, like these
        assert write_report(run).exists()
    ElementTree.fromstring(junit_xml(results.as_record()))


def complete(run, good, name):
    """Whether a record still holds what the judge needs: all of it; of the samples, one of each node."""
    left = (run / name).read_bytes().strip() if (run / name).exists() else b""
    if name != "samples.jsonl":
        return left == (good / name).read_bytes().strip()
    nodes = [node["name"] for node in json.loads((good / "plan.json").read_text())["nodes"]]
    return left.endswith(b"}") and all(f'"{node}"'.encode() in left for node in nodes)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(gone=st.sets(st.sampled_from(RECORDS), min_size=1), cut=st.integers(0, 600))
@example(gone={"load.json"}, cut=600)  # it is shorter than that
@example(gone={"samples.jsonl"}, cut=0)
@example(gone={"samples.jsonl"}, cut=364)  # whole lines of four nodes out of five
@example(gone={"samples.jsonl"}, cut=454)  # of all five
def test_whatever_is_missing_there_is_a_verdict(good, tmp_path_factory, gone, cut):
    run = shutil.copytree(good, tmp_path_factory.mktemp("cut") / "run")
    for place, name in enumerate(sorted(gone)):
        if place % 2:
            (run / name).unlink()
        else:
            (run / name).write_bytes((run / name).read_bytes()[:cut])
    verdict = judge(run, checkers={"register": accept}).verdict
    assert verdict in SEVERITY
    assert verdict != "pass" or all(complete(run, good, name) for name in gone)
    assert write_report(run).stat().st_size > 1000


VERDICTS = st.sampled_from(["pass", "fail", "unknown"])


@settings(max_examples=60, deadline=None)
@given(
    checks=st.lists(VERDICTS, max_size=4), thresholds=st.lists(st.sampled_from([0.0, 2.0, None]), max_size=3)
)
def test_a_run_never_passes_with_anything_else_than_pass(checks, thresholds):
    records = RunRecords(plan={
        "criteria": [{"name": "error_rate", "threshold": limit, "comparison": "<="} for limit in thresholds],
    })  # fmt: skip
    results = decide(records, [{"name": "c", "verdict": verdict, "reason": "r."} for verdict in checks])
    found = [item["verdict"] for item in (*results.criteria, *results.checks)]
    assert results.verdict != "pass"  # no load, ever
    if "fail" in found:
        assert results.verdict == "fail"
    assert worst(found) == "unknown" or results.verdict != "unknown" or "fail" not in found


def test_junit_has_a_case_for_each_criterion_check_and_fault(run):
    results = judge(run, checkers={"register": accept}).as_record()
    results["criteria"][0].update(verdict="fail", reason="low & <bad>\x00")
    results["criteria"][1].update(verdict="unknown", reason="no data")
    suite = ElementTree.fromstring(junit_xml(results)).find("testsuite")
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    assert len(cases) == len(results["criteria"]) + 1 + 1 + 1  # a check, a fault, the run itself
    assert cases["criterion system_availability"].find("failure").get("message").startswith("low & <bad>")
    assert cases["criterion data_consistency"].find("error") is not None
    assert list(cases["fault partition-1"]) == []
    assert (suite.get("failures"), suite.get("errors")) == ("1", "1")


def test_all_criteria_have_a_definition_and_a_unit():
    assert all(item.definition.endswith(".") and item.unit for item in criteria.CRITERIA.values())


def test_records_of_an_unforeseen_shape_are_unknown(run):
    change(run, "plan.json", lambda plan: plan["faults"][0].update(nodes=["n1"]))
    unknown(run, "The records cannot be judged: ")
