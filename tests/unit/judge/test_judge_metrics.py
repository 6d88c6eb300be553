# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Criteria that need Prometheus or a checker, from records made by hand with the right answer beside them."""

from __future__ import annotations

import math

import pytest
from ansible_collections.foundation.testbed.plugins.plugin_utils.columns import to_columns
from ansible_collections.foundation.testbed.plugins.plugin_utils.criteria import CRITERIA, evaluate
from ansible_collections.foundation.testbed.plugins.plugin_utils.judge import CHECKERS
from ansible_collections.foundation.testbed.plugins.plugin_utils.measured import switched_off, worst_value
from ansible_collections.foundation.testbed.plugins.plugin_utils.measures import Evidence
from hypothesis import given
from hypothesis import strategies as st

DURATION_S = 20.0
EVERY_SECOND = range(21)


def line(label, values):
    return {"label": label, "labels": {"node": label}, "points": [[float(at), value] for at, value in values]}


def series(name, *lines, criterion=None):
    return {"name": name, "unit": "ratio", "criterion": criterion, "lines": list(lines)}


def evidence(*found, **more):
    columns = to_columns([], {"duration_s": DURATION_S})
    return Evidence(columns, DURATION_S, series=found, system_nodes=("n1", "n2"), **more)


def flat(value, without=()):
    return [(at, value) for at in EVERY_SECOND if at not in without]


def memory(n1, n2, **more):
    return evidence(
        series("memory_share", line("n1", n1), line("n2", n2), line("observer1", flat(0.99))), **more
    )


def judged(found, threshold=0.8, name="memory_usage"):
    return evaluate({"name": name, "threshold": threshold, "comparison": "<="}, found)


def test_memory_usage_is_the_highest_share_of_a_node_that_runs_the_system():
    # n2 peaks at 0.7 in second 9; the observer's 0.99 is not asked for, nor what came after the 20 s.
    n2 = [(at, 0.7 if at == 9 else 0.2) for at in EVERY_SECOND]
    record = judged(memory([*flat(0.3), (21, 0.95)], n2))
    assert (record["verdict"], record["actual"], record["unit"]) == ("pass", 0.7, "ratio")
    assert (
        judged(memory(flat(0.3), n2), threshold=0.65)["reason"] == "memory_usage is 0.7; it must be <= 0.65."
    )


@pytest.mark.parametrize(
    ("absent", "verdict"),
    [
        (range(4, 9), "pass"),
        (range(4, 10), "unknown"),
        (range(5), "pass"),
        (range(6), "unknown"),
        (range(15, 21), "unknown"),
    ],
)
def test_a_series_may_be_absent_for_five_seconds_in_a_row(absent, verdict):
    record = judged(memory(flat(0.3), flat(0.2, without=absent)))
    assert record["verdict"] == verdict
    if verdict == "unknown":
        assert f"n2 is absent from {absent[0]} s to {absent[-1]} s" in record["reason"]


def test_a_promise_broken_beside_a_gap_is_broken():
    assert judged(memory(flat(0.9), flat(0.2, without=range(4, 12))))["verdict"] == "fail"


def test_a_node_that_is_switched_off_by_plan_need_not_be_heard():
    # Off from 3 s to 5 s and 15 s to boot: up to 20 s nothing is missing; without the fault 18 s are.
    n2 = flat(0.2, without=range(3, 20))
    plan = {"faults": [{"id": "p", "takes_down": True, "power": {"n2": {}}, "end_s": 5.0}]}
    down = switched_off(plan, [{"id": "p", "applied_s": 3.0, "reverted_s": 5.0, "targets": ["n2"]}])
    assert judged(memory(flat(0.3), n2, down=down))["verdict"] == "pass"
    assert judged(memory(flat(0.3), n2))["verdict"] == "unknown"
    assert judged(memory(n2, flat(0.3), down=down))["verdict"] == "unknown", "n1 was not switched off"


def test_a_node_without_a_series_is_named():
    found = evidence(series("memory_share", line("n1", flat(0.3))))
    assert judged(found)["reason"] == "No memory_share was recorded of n2."


def test_gc_pressure_is_the_worst_members_share_of_pauses():
    # Pauses of 20 ms in each second of n1 are 0.02; n2 once has 50 ms.
    n2 = [(at, 0.05 if at == 3 else 0.001) for at in EVERY_SECOND]
    found = evidence(series("gc_pressure", line("n1", flat(0.02)), line("n2", n2)))
    assert CRITERIA["gc_pressure"].measure(found).value == 0.05
    assert "No series gc_pressure" in CRITERIA["gc_pressure"].measure(evidence()).reason


QUERY = {"name": "lag", "query": "lag", "unit": "s"}


@pytest.mark.parametrize(
    ("comparison", "threshold", "verdict", "actual"),
    [("<=", 5.0, "pass", 5.0), ("<", 5.0, "fail", 5.0), (">=", 1.0, "pass", 1.0), (">", 1.0, "fail", 1.0)],
)
def test_every_value_of_an_expression_must_satisfy_the_comparison(comparison, threshold, verdict, actual):
    """The values are 1, 2 and once 5: the worst is the highest for an upper bound, the lowest for a lower."""
    found = evidence(
        series(
            "lag",
            line("n1", flat(1.0)),
            line("n2", [(at, 5.0 if at == 7 else 2.0) for at in EVERY_SECOND]),
            criterion="lag",
        ),
        series("lag", line("n1", flat(77.0))),
    )
    record = evaluate({**QUERY, "threshold": threshold, "comparison": comparison}, found)
    assert (record["verdict"], record["actual"], record["unit"]) == (verdict, actual, "s")


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (evidence(), "gave no value."),
        (evidence(series("lag", criterion="lag")), "gave no value."),
        (evidence(series("lag", line("n1", [(25, 1.0)]), criterion="lag")), "within the declared duration"),
        (
            evidence(series("lag", line("n1", flat(1.0, without=range(7, 14))), criterion="lag")),
            "n1 is absent from 7 s to 13 s",
        ),
        (
            evidence(metrics_problems=["lag: Prometheus on the observer does not answer: refused."]),
            "does not answer",
        ),
    ],
)
def test_an_expression_without_its_values_is_unknown(found, words):
    record = evaluate({**QUERY, "threshold": 10.0, "comparison": "<="}, found)
    assert (record["verdict"], record["actual"]) == ("unknown", None)
    assert words in record["reason"]


@pytest.mark.parametrize(
    ("check", "verdict", "actual"),
    [
        ({"verdict": "pass", "detail": {"keys": 8}}, "pass", 0.0),
        ({"verdict": "fail", "detail": {"keys": 8, "failed_keys": ["a", "b"]}}, "fail", 2.0),
        ({"verdict": "unknown", "detail": {"keys": 8, "undecided": 1}}, "unknown", None),
        (None, "unknown", None),
    ],
)
def test_a_checker_is_a_criterion_of_the_keys_that_it_does_not_accept(check, verdict, actual):
    checks = [{"name": "linearizable-register", **check}] if check else []
    record = judged(evidence(checks=checks), threshold=0, name="linearizable-register")
    assert (record["verdict"], record["actual"]) == (verdict, actual)


def test_every_checker_is_a_criterion():
    several = [checks if isinstance(checks, tuple) else (checks,) for checks in CHECKERS.values()]
    names = {check([], 0)["name"] for checks in several for check in checks}
    assert names <= set(CRITERIA)


INCOMPLETE = "the load ended before the declared duration."


@pytest.mark.parametrize("name", CRITERIA)
def test_no_criterion_passes_on_a_record_that_was_cut_short(name):
    wanted = {"name": name, "threshold": -1.0 if CRITERIA[name].comparison == ">=" else 10**9}
    checks = [{"name": "linearizable-register", "verdict": "pass", "detail": {"keys": 8}}]
    lines = [line("n1", flat(0.1)), line("n2", flat(0.1))]
    found = evidence(
        series("memory_share", *lines), series("gc_pressure", *lines), checks=checks, incomplete=INCOMPLETE
    )
    assert evaluate(wanted, found)["verdict"] == "unknown"


def test_what_was_broken_before_a_record_was_cut_short_stays_broken():
    checks = [
        {"name": "linearizable-register", "verdict": "fail", "detail": {"keys": 8, "failed_keys": ["a"]}}
    ]
    found = memory(flat(0.9), flat(0.2), checks=checks, incomplete=INCOMPLETE)
    assert judged(found)["verdict"] == "fail"
    assert judged(found, 0, "linearizable-register")["verdict"] == "fail"
    assert evaluate({"name": "data_consistency", "threshold": 1.0}, found)["verdict"] == "fail"
    assert judged(found, 0.0, "error_rate")["verdict"] == "unknown"


@given(st.lists(st.tuples(st.integers(-5, 30), st.floats(allow_nan=True)), max_size=40), st.booleans())
def test_the_worst_value_is_a_finite_one_within_the_duration(points, highest):
    inside = [value for at, value in points if 0 <= at <= DURATION_S and math.isfinite(value)]
    expected = (max if highest else min)(inside, default=None)
    assert worst_value([line("n1", points)], highest, DURATION_S) == expected
