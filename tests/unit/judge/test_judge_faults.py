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


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_absent, "it was not in place at 20.0 s"),
        (_passed, "a probe passed to a blocked peer by 20.0 s"),
        (_quiet, "it blocked no packet and no probe from"),
        (_late, "felt the fault begin 0.50 s late"),
        (_early, "felt the fault end at 33.00 s"),
        (_traces, "traces are left: table inet x"),
        (_deaf, "no probe passed after the removal"),
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


def beside(kind, *lines, mute=("n4",), nodes=("n4",), start_s=33.0, end_s=40.0):
    """The first fault, whose probes on some nodes stay unanswered for five seconds, beside another one."""
    first = ledger(SHAPE, PLAN)
    for line in first:
        if line["node"] in mute and line["event"] == "gone":
            line.update(probe_passed=False, t_s=40.3)
    other = {"id": "second", "type": kind, "start_s": start_s, "end_s": end_s, "targets": list(nodes)}
    plan = {"faults": [PLAN["faults"][0], other | {"nodes": {node: {} for node in nodes}}]}
    return fault_results(plan, [*first, *lines], START_WALL_NS)[0]


def second(kind="partition", node="n4", start_s=33.0, end_s=40.0, gone_s=None, passed=True):
    """What a node says of the other fault."""

    def line(event, at_s, **more):
        return {"node": node, "fault": "second", "type": kind, "event": event, "t_s": at_s, **more}

    def felt(at_s):
        return {"felt_ns": START_WALL_NS + int(at_s * 1e9), "resolution_ms": 1.0}

    return [
        line("apply", start_s, **felt(start_s)), line("revert", end_s, **felt(end_s)),
        line("gone", gone_s or end_s + 0.2, traces=[], probe_passed=passed),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["partition", "link", "power", "disk"])
def test_a_probe_that_another_fault_holds_up_is_not_held_against_the_first(kind):
    """The first is gone, its rules too; that nobody answers is the second one's doing, on it or on a peer."""
    assert beside(kind, *second(kind))["proved"]
    assert beside(kind, *second(kind, node="n1"), nodes=("n1",))["proved"]


@pytest.mark.parametrize("kind", ["pressure", "process", "clock", "storage", "disk_fill", "name_service"])
def test_a_fault_that_stops_no_ping_excuses_none(kind):
    assert "n4: no probe passed after the removal" in beside(kind, *second(kind))["reason"]


def test_a_fault_that_did_not_hold_excuses_nothing():
    """What was planned is not what happened: idle, unable, over before, begun after, or on others only."""
    idle = {"node": "n4", "fault": "second", "event": "idle", "t_s": 33.0, "reason": "it does not lead"}
    unable = {"node": "n4", "fault": "second", "event": "check", "t_s": 32.0, "able": False, "reasons": ["x"]}
    for lines in (
        [], [idle], [unable], second(start_s=20.0, end_s=34.0), second(start_s=41.0, end_s=45.0),
    ):  # fmt: skip
        assert not beside("partition", *lines)["proved"], lines
    assert not beside("partition", *second(node="n5"), nodes=("n5",))["proved"]


def test_a_fault_whose_own_probe_fails_excuses_no_longer_than_it_held():
    """Else two failed probes, each in the other's time, would excuse each other."""
    assert beside("link", *second("link", end_s=34.0, gone_s=39.0))["proved"]
    assert not beside("link", *second("link", end_s=34.0, gone_s=39.0, passed=False))["proved"]
