# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Each criterion from a record made by hand, whose right answer is worked out beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.foundation.testbed.plugins.plugin_utils.columns import to_columns
from ansible_collections.foundation.testbed.plugins.plugin_utils.criteria import (
    CRITERIA,
    evaluate,
    markdown_table,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.history import Operation
from ansible_collections.foundation.testbed.plugins.plugin_utils.measures import Evidence

DOCS = Path(__file__).parents[3] / "docs" / "criteria.md"
PLAN = {"duration_s": 20.0, "load": [{"generator": "g", "operation_timeout_s": 2.0}]}


def op(at_s, took_s=0.01, outcome="ok", client="failover", error=None, phase="main"):
    intended = round(at_s * 1e9)
    complete = None if took_s is None else intended + round(took_s * 1e9)
    return Operation(
        "g", intended, 1, client, "read", "k", 1, intended, complete, intended, "n1", outcome, error, phase
    )


def evidence(operations, failover=("failover",), faults=(), checks=()):
    return Evidence(to_columns(operations, PLAN), 20.0, frozenset(failover), faults, checks)


def measure(name, found):
    return CRITERIA[name].measure(found).value


def test_availability_counts_failover_clients_that_were_answered_in_time():
    operations = [
        op(1.0),  # in time
        op(2.0, outcome="fail", error="mismatch"),  # an answer too
        op(3.0, took_s=2.5),  # an answer, but later than 2 s after its intended time
        op(4.0, took_s=2.0, outcome="info", error="timeout"),  # no answer
        op(5.0, client="n4", outcome="info"),  # pinned: not counted
        op(25.0),  # due after the declared 20 s: not counted
        op(6.0, outcome="info", phase="final"),  # the final read: not counted
    ]
    assert measure("system_availability", evidence(operations)) == 2 / 4


def test_availability_takes_all_clients_when_none_fails_over():
    operations = [op(1.0, client="n1"), op(2.0, client="n2"), op(3.0, client="n2", outcome="drop")]
    assert measure("system_availability", evidence(operations, failover=())) == 2 / 3


def test_availability_is_unknown_when_the_failover_group_sent_nothing():
    assert measure("system_availability", evidence([op(1.0, client="n1")])) is None


def test_error_rate_counts_everything_without_an_answer():
    operations = [
        op(1.0), op(2.0, outcome="fail", error="mismatch"), op(3.0, outcome="fail", error="no-leader"),
        op(4.0, outcome="info"), op(5.0, outcome="drop"), op(6.0, client="n4", took_s=None, outcome="info"),
        op(7.0), op(8.0, client="n4"),
    ]  # fmt: skip
    assert measure("error_rate", evidence(operations)) == 4 / 8


@pytest.mark.parametrize(
    ("checks", "expected"),
    [
        ([{"verdict": "pass", "detail": {"keys": 8, "undecided": 0}}], 1.0),
        ([{"verdict": "fail", "detail": {"keys": 8}, "anomalies": [{"key": "a"}, {"key": "a"}]}], 7 / 8),
        ([{"verdict": "fail", "detail": {"keys": 8, "failed_keys": ["a", "b"], "undecided": 1}}], 5 / 8),
        ([{"verdict": "unknown", "detail": {"keys": 8, "undecided": 1}}], None),
        ([{"verdict": "unknown", "detail": {}}], None),
        ([{"verdict": "pass", "detail": {"keys": 0}}], None),
        ([{"verdict": "fail", "detail": {"keys": 8}}], None),
        ([], None),
    ],
)
def test_consistency_is_the_share_of_accepted_keys(checks, expected):
    assert measure("data_consistency", evidence([op(1.0)], checks=checks)) == expected


def test_recovery_ends_when_the_last_client_group_is_answered_for_good():
    # Healed at 5 s. n4 is refused at 5.2 s and 6.2 s, so the first whole window begins with the operation due
    # at 7.0 s; in it failover is first answered at 7.0 + 0.01 s, n4 at 7.2 + 0.3 s: 2.5 s after the heal.
    operations = [op(float(at)) for at in range(20)]
    operations += [
        op(5.2, client="n4", outcome="fail", error="no-leader"),
        op(6.2, client="n4", outcome="info"),
    ]
    operations += [op(at + 0.2, client="n4", took_s=0.3) for at in range(7, 20)]
    found = evidence(operations, faults=[{"id": "p", "reverted_s": 5.0}])
    assert measure("recovery_time", found) == pytest.approx(2.5)


def test_recovery_of_several_faults_is_the_longest():
    # After 2 s the next operation is due at 3 s and answered 0.01 s later; after 9.5 s the one at 10 s.
    found = evidence(
        [op(float(at)) for at in range(20) if at != 2],
        faults=[{"id": "a", "reverted_s": 2.0}, {"id": "b", "reverted_s": 9.5}],
    )
    assert measure("recovery_time", found) == pytest.approx(1.01)


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        ([], "no fault"),
        ([{"id": "p", "reverted_s": None}], "not proved"),
        ([{"id": "p", "reverted_s": 15.5}], "load ended"),  # the window from 16 s would end at 21 s
    ],
)
def test_recovery_without_an_end_is_unknown(faults, words):
    found = CRITERIA["recovery_time"].measure(evidence([op(float(at)) for at in range(20)], faults=faults))
    assert found.value is None
    assert words in found.reason


def test_recovery_is_unknown_while_answers_stay_away():
    operations = [op(float(at), outcome="ok" if at % 3 else "info") for at in range(20)]
    assert measure("recovery_time", evidence(operations, faults=[{"id": "p", "reverted_s": 2.0}])) is None


def test_response_times_count_from_the_intended_send():
    operations = [op(at / 10, took_s=(at + 1) / 1000) for at in range(20)]  # 1 ms … 20 ms
    operations.append(op(3.0, took_s=1.9, outcome="info"))  # no answer
    assert measure("average_response_time", evidence(operations)) == pytest.approx(10.5)
    assert measure("p95_response_time", evidence(operations)) == pytest.approx(
        19.0
    )  # 19 of 20 took at most 19 ms


def test_throughput_is_answers_over_the_declared_duration():
    operations = [op(at / 10) for at in range(30)] + [op(4.0, outcome="info")]
    assert measure("throughput", evidence(operations)) == pytest.approx(30 / 20)


@pytest.mark.parametrize("name", CRITERIA)
def test_without_data_every_criterion_is_unknown(name):
    record = evaluate({"name": name, "threshold": 0}, evidence([]))
    assert (record["verdict"], record["actual"]) == ("unknown", None)
    assert record["reason"].endswith(".")


@pytest.mark.parametrize(
    ("comparison", "threshold", "verdict"),
    [(">=", 0.5, "pass"), (">", 0.5, "fail"), ("<=", 0.5, "pass"), ("<", 0.5, "fail"), ("==", 0.5, "pass"),
     (None, 0.4, "fail"), ("near", 0.5, "unknown"), ("<=", "low", "unknown")],
)  # fmt: skip
def test_comparisons(comparison, threshold, verdict):
    found = evidence([op(1.0), op(2.0, outcome="info")])
    wanted = {"name": "error_rate", "threshold": threshold, "comparison": comparison}
    assert evaluate(wanted, found)["verdict"] == verdict


def test_an_unknown_criterion_names_those_there_are():
    record = evaluate({"name": "luck", "threshold": 1, "comparison": ">="}, evidence([op(1.0)]))
    assert record["verdict"] == "unknown"
    assert "error_rate" in record["reason"]


def test_docs_hold_the_same_table():
    assert markdown_table() in DOCS.read_text(encoding="utf-8")
