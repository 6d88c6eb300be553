# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import copy

import pytest
from ansible_collections.foundation.testbed.plugins.plugin_utils.faults import fault_results
from ansible_collections.foundation.testbed.tests.support.synthetic_run import START_WALL_NS, Shape, ledger

SHAPE = Shape()
PLAN = SHAPE.plan()


def judged(change=None, keep=lambda line: True):
    lines = [line for line in ledger(SHAPE, PLAN) if keep(line)]
    for line in lines:
        if change:
            change(line)
    return fault_results(PLAN, lines, START_WALL_NS)[0]


def of(line, node, event):
    return line["node"] == node and line["event"] == event


def test_a_whole_ledger_proves_the_fault():
    # Cuts are felt 0.2, 0.4 … 1.0 ms after 15 s, heals 0.25 … 1.25 ms after 35 s: skews 0.8 ms and 1.0 ms.
    fault = judged()
    assert (fault["proved"], fault["reason"]) == (True, "")
    assert fault["skew_ms"] == pytest.approx(0.8)
    assert fault["heal_skew_ms"] == pytest.approx(1.0)
    assert fault["applied_s"] == pytest.approx(15.0002)
    assert fault["reverted_s"] == pytest.approx(35.00125)
    # 19 seconds of evidence, 42 packets and 20 probes a second for each of 3*2 + 2*3 blocked peers.
    assert fault["evidence"]["packets_dropped"] == 19 * 42 * 12
    assert fault["evidence"]["probes_blocked"] == 19 * 20 * 12
    assert fault["evidence"]["nodes"]["n4"]["blocked"] == ["n1", "n2", "n3"]


@pytest.mark.parametrize(
    ("node", "event", "words"),
    [
        ("n2", "apply", "never felt the fault begin"),
        ("n3", "revert", "never felt the fault end"),
        ("n1", "gone", "nothing shows that the fault is gone"),
        ("n5", "evidence", "no evidence"),
    ],
)
def test_what_is_missing_is_named_with_its_node(node, event, words):
    fault = judged(keep=lambda line: not of(line, node, event))
    assert not fault["proved"]
    assert f"{node}: " in fault["reason"]
    assert words in fault["reason"]


def test_a_silent_node_gives_no_skew():
    fault = judged(keep=lambda line: line["node"] != "n4")
    assert not fault["proved"]
    assert (fault["skew_ms"], fault["heal_skew_ms"], fault["reverted_s"]) == (None, None, None)
    assert "n4: its ledger says nothing" in fault["reason"]


def _absent(line):
    if of(line, "n4", "evidence") and line["t_s"] == 20.0:
        line["present"] = False


def _passed(line):
    if of(line, "n4", "evidence") and line["t_s"] >= 20.0:
        line["probes"]["passed"] = 1


def _quiet(line):
    if of(line, "n4", "evidence") and 20.0 <= line["t_s"] <= 25.0:
        line["packets"], line["probes"]["blocked"] = 100, 100


def _late(line):
    if of(line, "n4", "apply"):
        line["felt_ns"] = START_WALL_NS + 15_500_000_000


def _early(line):
    if of(line, "n4", "revert"):
        line["felt_ns"] = START_WALL_NS + 33_000_000_000


def _traces(line):
    if of(line, "n4", "gone"):
        line["traces"] = ["table inet x"]


def _deaf(line):
    if of(line, "n4", "gone"):
        line["probe_passed"] = False


def _concluded(line):
    if of(line, "n4", "record"):
        line.update(proved=False, reason="the clock moved")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_absent, "its rule was not in place at 20.0 s"),
        (_passed, "a probe passed to a blocked peer by 20.0 s"),
        (_quiet, "it blocked no packet and no probe from"),
        (_late, "felt the fault begin 0.50 s late"),
        (_early, "felt the fault end at 33.00 s"),
        (_traces, "traces are left: table inet x"),
        (_deaf, "no probe passed after the removal"),
        (_concluded, "the clock moved"),
    ],
)
def test_what_contradicts_the_proof_is_named(change, words):
    fault = judged(change)
    assert not fault["proved"]
    assert f"n4: {words}" in fault["reason"] or (words in fault["reason"] and "n4: " in fault["reason"])


def test_evidence_with_a_hole_is_no_proof():
    fault = judged(keep=lambda line: not (of(line, "n1", "evidence") and 20.0 <= line["t_s"] <= 24.0))
    assert "n1: there is no evidence from 19.0 s to 25.0 s" in fault["reason"]


def test_edges_of_the_window_may_let_a_probe_through():
    extra = []

    def change(line):
        if of(line, "n4", "evidence") and line["t_s"] == 34.0:
            late = copy.deepcopy(line)
            late.update(t_s=34.95)
            late["probes"]["passed"] = 3
            extra.append(late)

    lines = ledger(SHAPE, PLAN)
    for line in lines:
        change(line)
    assert fault_results(PLAN, [*lines, *extra], START_WALL_NS)[0]["proved"]


def test_a_fault_in_which_no_node_does_anything_is_not_proved():
    plan = {"faults": [{"id": "p", "type": "partition", "targets": [], "nodes": {}}]}
    assert not fault_results(plan, [], START_WALL_NS)[0]["proved"]


def test_packets_may_be_counted_by_rule():
    def change(line):
        if "packets" in line:
            line["packets"] = {"in": line["packets"] - 10, "out": 10} if line["packets"] else {}

    assert judged(change)["evidence"]["packets_dropped"] == 19 * 42 * 12


def test_a_node_that_looked_late_proves_the_cut_but_not_its_instant():
    """Cut at the first look: it held, but the late look says nothing of when it began; skew leaves it out."""

    def look_late(line):
        if of(line, "n1", "apply"):
            line.update(felt_ns=line["felt_ns"] + 300_000_000, resolution_ms=None)

    fault = judged(look_late)
    assert fault["proved"] is True
    assert fault["skew_ms"] == pytest.approx(0.6)
