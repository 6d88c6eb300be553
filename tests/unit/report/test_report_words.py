# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.foundation.testbed.plugins.plugin_utils import fault_words
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.configuration import fault_text
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.lanes import (
    Span,
    fault_spans,
    recovery_spans,
    tracks,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.sentence import (
    by_weight,
    further_reasons,
    sentence,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.words import amount, plainly
from hypothesis import given
from hypothesis import strategies as st


def fault(kind, targets=("n1",), **params):
    return {
        "id": f"{kind}-1", "type": kind, "targets": list(targets), "params": params, "start_s": 1, "end_s": 2,
        "nodes": {},
    }  # fmt: skip


GROUPS = {"a": ["n1", "n2", "n3"], "b": ["n4", "n5"]}


@pytest.mark.parametrize(
    ("given_fault", "detail", "happened", "state"),
    [
        (fault("link", delay=0.05, jitter=0.01, loss=1.0, ports=[2380]),
         "link delay 50 ms, jitter 10 ms, loss 1 %, ports 2380 on n1", "the network of n1 was impaired",
         "impaired"),
        (fault("link", rate=1e6), "link rate 1 Mbit/s on n1", "the network of n1 was impaired", "impaired"),
        (fault("clock", action="step", offset=-30.0), "clock step, offset -30 s on n1",
         "the clock of n1 was wrong", "damaged"),
        (fault("partition", ("n1", "n4"), groups=GROUPS, clients="stay"),
         "partition n1+n2+n3 | n4+n5", "n4 and n5 were cut off from n1, n2 and n3", "partitioned"),
        (fault("process", action="kill", hold=True), "process kill, hold on n1",
         "the system on n1 was killed", "down"),
        (fault("process", action="pause", hold=False), "process pause on n1",
         "the system on n1 was stopped", "paused"),
        (fault("power", ("n1", "n2"), action="off"), "power off on n1+n2", "n1 and n2 were off", "down"),
        (fault("pressure", resource="io", target=80.0, rate=33554432),
         "pressure io, target 80 %, rate 32 MiB/s on n1", "n1 ran short of disk bandwidth", "pressured"),
        (fault("disk", action="slow", iops=20), "disk slow, 20 operations/s on n1", "the disk of n1 was slow",
         "pressured"),
        (fault("disk", action="fail"), "disk fail on n1", "the disk of n1 failed", "down"),
    ],
)  # fmt: skip
def test_a_fault_is_said_with_units(given_fault, detail, happened, state):
    assert fault_words.detail(given_fault) == detail
    assert fault_words.happened(given_fault) == happened
    assert fault_words.state(given_fault) == state


def test_the_states_that_a_fault_goes_by_are_said():
    """The configuration dropped them."""
    asked = {
        **fault("process", ("n1", "n2"), action="kill"),
        "where": {"state": "leader", "is": True},
        "when": {"state": "term", "changed": True, "within_s": 5},
    }
    assert fault_text(asked) == "1 s to 2 s on a change of term, process kill on n1+n2 where leader is true"
    assert fault_words.happened(asked) == "the system on the leader was killed"


@given(st.floats(-1e7, 1e7))
def test_a_duration_names_the_same_time(seconds):
    number, unit = fault_words.duration(seconds).split(" ")
    length = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}[unit]
    assert float(number) * length == pytest.approx(seconds, rel=1e-4, abs=1e-9)


def result(verdict, **more):
    ran = {"id": "partition-1", "type": "partition", "targets": ["n4"], "proved": True}
    return {"verdict": verdict, "reasons": [], "criteria": [], "checks": [], "faults": [ran], **more}


PLAN = {"scenario": {"system": "etcd"}, "faults": [{**fault("partition", ("n4",), groups=GROUPS)}]}


def test_the_sentence_of_a_run_that_contradicted_itself():
    check = {
        "name": "c", "verdict": "fail", "detail": {"keys": 50, "failed_keys": ["a", "b"]},
        "anomalies": [{"faults": ["partition-1"]}],
    }  # fmt: skip
    said = sentence(result("fail", checks=[check]), PLAN)
    assert said == (
        "etcd broke a promise: 2 of 50 keys show lost or outdated data "
        "while n4 and n5 were cut off from n1, n2 and n3."
    )


def test_the_sentence_of_a_missed_criterion_names_what_was_promised():
    missed = {
        "name": "recovery_time", "verdict": "fail", "actual": 20.0, "threshold": 15.0, "comparison": "<=",
        "unit": "s",
    }  # fmt: skip
    said = sentence(result("fail", criteria=[missed]), PLAN)
    assert said.endswith(": it took 20 s to be whole again (at most 15 s was promised).")


def test_a_steady_state_that_did_not_come_back_is_a_broken_promise():
    after = [{"state": "healthy", "is": True, "held": False, "reason": "n1 was not"}]
    said = sentence(result("fail", steady_state={"after": after}), PLAN)
    assert said.startswith("etcd broke a promise") and said.endswith(": its steady state did not come back.")


def test_the_sentence_of_an_unknown_run_says_why_and_says_it_once():
    results = result("unknown", reasons=["The agent of n2 died.", "n3 left no sample."])
    assert sentence(results, PLAN) == "Nothing can be concluded: the agent of n2 died."
    assert further_reasons(results) == ["n3 left no sample."]


def test_anomalies_within_a_fault_come_first():
    early, within = {"key": "a", "faults": []}, {"key": "b", "faults": ["p"]}
    assert by_weight([early, within]) == [within, early]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 50), st.floats(0.1, 50)), max_size=8))
def test_faults_that_overlap_on_a_node_lie_in_rows_of_their_own(drawn):
    spans = [Span(node, "down", from_s, from_s + lasts_s) for node, from_s, lasts_s in drawn]
    placed = list(zip(spans, tracks(spans), strict=True))
    assert all(row < count for _, (row, count) in placed)
    for i, (one, (row, _)) in enumerate(placed):
        for other, (beside, _) in placed[:i]:
            apart = one.to_s <= other.from_s or other.to_s <= one.from_s
            assert apart or one.node != other.node or row != beside


def test_a_lane_shows_what_each_node_felt_and_who_took_no_part():
    judged = {
        "id": "partition-1", "type": "partition", "targets": ["n1", "n4"],
        "applied_s": 1.0, "reverted_s": 2.0,
        "evidence": {"nodes": {"n4": {"applied_s": 1.1, "reverted_s": 2.1}}, "idle": {"n1": "no"}},
    }  # fmt: skip
    assert fault_spans(PLAN, [judged]) == [
        Span("n4", "partitioned", 1.1, 2.1, "partition-1: partition, side b")
    ]


@pytest.mark.parametrize(
    ("faults", "spans"),
    [
        ([(1, 5, 2.0)], [(5, 7)]),
        ([(1, 5, None)], []),
        ([(1, 5, 4.0), (3, 7, 2.0)], [(7, 9)]),
        ([(1, 5, 6.0), (7, 9, 2.0)], [(5, 7), (9, 11)]),
    ],
)
def test_recovery_is_shaded_where_no_other_fault_holds(faults, spans):
    judged = [{"applied_s": a, "reverted_s": b, "recovery_s": recovery} for a, b, recovery in faults]
    assert recovery_spans(judged) == spans


def test_figures_have_their_units():
    assert amount(4_000_000, "bytes") == "4 MB"
    assert amount(0.5, "ratio") == "50 %"
    assert plainly({"delay_ms": 49.6349, "back_s": 2.8931, "ok": True}) == [
        "delay 49.63 ms", "back 2.893 s", "ok yes",
    ]  # fmt: skip
