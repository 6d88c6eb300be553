# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The steady state: judged from what the hosts answered, before a run and after it."""

from __future__ import annotations

import io
import json
import urllib.error

import pytest
from ansible_collections.foundation.testbed.plugins.modules import ask_state
from ansible_collections.foundation.testbed.plugins.plugin_utils.admission import Admission, refuse_unsteady
from ansible_collections.foundation.testbed.plugins.plugin_utils.exit_status import ExitStatus
from ansible_collections.foundation.testbed.plugins.plugin_utils.steady_state import (
    after_verdicts,
    judged,
    not_awaited,
)

NODES = ["n1", "n2", "n3"]


def answers(state, *values):
    """One answer a node; None of a node that could not be asked."""
    said = [{"unreachable": True} if v == "gone" else {"health": {state: v}} for v in values]
    return dict(zip(NODES, said, strict=True))


CLOSE = {"state": "lag", "below": 10, "nodes": "all"}
LED = {"state": "leader", "is": True, "nodes": "any"}
RATE = {"promql": "sum(up)", "at_least": 3}


@pytest.mark.parametrize(
    ("condition", "said", "held", "words"),
    [
        (CLOSE, answers("lag", 0, 9, 3), True, ""),
        (CLOSE, answers("lag", 0, 12, 12), False, "lag was 12 on n2, n3; wanted: below 10 on all nodes"),
        (CLOSE, answers("lag", 0, None, 3), False, "lag was not told on n2"),
        (CLOSE, answers("lag", 0, "gone", 3), None, "n2 could not be asked for lag"),
        (CLOSE, answers("lag", 50, "gone", 3), False, "lag was 50 on n1"),
        (LED, answers("leader", False, True, False), True, ""),
        (LED, answers("leader", False, True, "gone"), True, ""),
        (LED, answers("leader", False, False, False), False,
         "leader was false on n1, n2, n3; wanted: true on any"),
        (LED, answers("leader", False, "gone", False), None, "n2 could not be asked for leader"),
        (RATE, {"observer1": {"queries": {"sum(up)": {"values": [3.0]}}}}, True, ""),
        (RATE, {"observer1": {"queries": {"sum(up)": {"values": [4.0, 2.0]}}}}, False,
         "sum(up) was 4, 2; wanted: at least 3"),
        (RATE, {"observer1": {"queries": {"sum(up)": {"error": "no value"}}}}, None, "no value"),
        (RATE, {"observer1": {"unreachable": True}}, None, "the observer gave no answer"),
    ],
)  # fmt: skip
def test_a_condition_holds_does_not_or_is_not_known(condition, said, held, words):
    (entry,) = judged([condition], NODES, said)
    assert entry["held"] is held and words in entry["reason"]
    assert {**entry, **condition} == entry


def test_without_a_node_of_the_system_nothing_is_known():
    assert judged([CLOSE], [], {})[0]["held"] is None


def test_a_run_is_refused_where_the_steady_state_does_not_hold():
    admission = Admission()
    refuse_unsteady(admission, judged([CLOSE, LED], NODES, answers("lag", 0, 50, 0)))
    assert admission.status == ExitStatus.CLUSTER_NOT_HEALTHY
    assert "lag was 50 on n2" in admission.reasons[0] and "leader" in admission.reasons[1]


PLAN = {"steady_state": [CLOSE], "recovery_wait_s": 30.0}


@pytest.mark.parametrize(
    ("values", "verdict", "words"),
    [
        ((0, 0, 0), "pass", ""),
        ((0, 0, 99), "fail", "not back within 30 s of the end: lag was 99 on n3"),
        ((0, 0, "gone"), "unknown", "is not known: n3 could not be asked"),
    ],
)
def test_after_a_run_it_has_to_be_back(values, verdict, words):
    run = {"steady_state": {"after": judged([CLOSE], NODES, answers("lag", *values))}}
    (entry,) = after_verdicts(PLAN, run)
    assert entry["verdict"] == verdict and words in entry["reason"]


def test_a_run_after_which_nobody_asked_is_unknown():
    assert [entry["verdict"] for entry in after_verdicts(PLAN, {})] == ["unknown"]
    assert after_verdicts({}, {}) == []


def test_what_the_user_did_not_want_to_wait_for_is_not_known():
    missed, met = judged([CLOSE, LED], NODES, {n: {"health": {"lag": 99, "leader": True}} for n in NODES})
    assert not_awaited(missed)["held"] is None and "did not want to wait" in not_awaited(missed)["reason"]
    assert not_awaited(met) is met


class Answer(io.BytesIO):
    """What Prometheus says, as urlopen returns it."""


def prometheus(kind, result):
    return Answer(json.dumps({"data": {"resultType": kind, "result": result}}).encode())


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (prometheus("vector", [{"value": [1, "2.5"]}, {"value": [1, "3"]}]), {"values": [2.5, 3.0]}),
        (prometheus("scalar", [1, "7"]), {"values": [7.0]}),
        (prometheus("vector", []), {"error": "it has no value"}),
        (urllib.error.URLError("refused"), {"error": "Prometheus does not answer (refused)"}),
        (urllib.error.HTTPError("", 400, "Bad", {}, io.BytesIO(b'{"error": "bad_data: x"}')),
         {"error": "bad_data: x"}),
    ],
)  # fmt: skip
def test_an_expression_has_values_or_an_error_in_words(monkeypatch, answer, told):
    def urlopen(_url, timeout):
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(ask_state.urllib.request, "urlopen", urlopen)
    assert ask_state.ask_prometheus("http://127.0.0.1:9090", "x") == told
