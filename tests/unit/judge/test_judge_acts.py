# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import random

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.faults._impairment import Impairment
from ansible_collections.foundation.testbed.plugins.module_utils.faults._measure import (
    plausible,
    probes_at_once,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.faults import fault_results
from ansible_collections.foundation.testbed.tests.support.synthetic_run import START_WALL_NS

PAUSE = {
    "id": "pause", "type": "process", "start_s": 5, "end_s": 10, "for_s": 5, "targets": ["n1", "n2"],
    "nodes": {"n1": {"units": ["etcd.service"]}, "n2": {"units": ["etcd.service"]}},
}  # fmt: skip


def held(node="n1", start_s=5.0, end_s=10.0, effective=True):
    """What a node says of a fault that its agent held."""

    def line(event, at_s, **more):
        return {"node": node, "fault": "pause", "type": "process", "event": event, "t_s": at_s, **more}

    def felt(at_s):
        return {"felt_ns": START_WALL_NS + int(at_s * 1e9), "resolution_ms": 120.0}

    evidence = [
        line("evidence", start_s + step, present=True, effective=effective and step > 1, stopped=3)
        for step in range(1, int(end_s - start_s))
    ]
    return [
        line("check", start_s - 1, able=True, reasons=[], feels=False, lapses=False),
        line("apply", start_s + 0.1, **felt(start_s + 0.1)),
        line(
            "load", start_s + 0.1,
            start_wall_ns=START_WALL_NS + int(start_s * 1e9), end_wall_ns=START_WALL_NS + int(end_s * 1e9),
        ),
        *evidence,
        line("evidence", end_s, present=True, effective=effective, stopped=3),
        line("revert", end_s + 0.1, **felt(end_s + 0.1)),
        line("gone", end_s + 0.2, traces=[], probe_passed=True),
        line("record", end_s + 0.2, present=True, effective=effective, stopped=3),
    ]  # fmt: skip


def pause(*lines, **change):
    return fault_results({"faults": [PAUSE | change]}, list(lines), START_WALL_NS)[0]


def test_a_fault_that_the_agent_holds_is_proved_by_its_acts_and_its_effect():
    fault = pause(*held("n1"), *held("n2"))
    assert (fault["proved"], fault["reason"]) == (True, "")
    assert (fault["applied_s"], fault["reverted_s"]) == (pytest.approx(5.1), pytest.approx(10.1))
    assert fault["evidence"]["nodes"]["n1"]["figures"] == {"stopped": 3}
    assert "n2: its effect was never seen" in pause(*held("n1"), *held("n2", effective=False))["reason"]
    assert "n2: its ledger says nothing" in pause(*held("n1"))["reason"]


def test_nodes_that_a_state_kept_out_are_told_apart_from_those_that_failed():
    idle = {"node": "n2", "fault": "pause", "event": "idle", "t_s": 5.0, "reason": "its leader was False"}
    fault = pause(*held("n1"), idle)
    assert fault["proved"] and fault["evidence"]["idle"] == {"n2": "its leader was False"}
    none = pause({**idle, "node": "n1"}, idle)
    assert not none["proved"] and "no node took part (n1: its leader was False; n2" in none["reason"]


def test_a_fault_that_began_on_a_state_is_judged_by_its_own_times():
    fault = pause(*held("n1", 17.0, 22.0), *held("n2", 19.0, 24.0), when={"state": "leader"}, end_s=30)
    assert fault["proved"] and fault["applied_s"] == pytest.approx(17.1)
    assert not pause(*held("n1", 17.0, 22.0), *held("n2"))["proved"]


def test_a_fault_that_ended_on_a_state_did_not_end_too_early():
    ended = [
        {"node": node, "fault": "pause", "event": "until", "t_s": 8.0, "answer": {"lag": 9}}
        for node in ("n1", "n2")
    ]
    lines = [*held("n1", end_s=8.0), *held("n2", end_s=8.0)]
    assert not pause(*lines)["proved"]
    assert pause(*lines, *ended)["proved"]


@pytest.mark.parametrize(
    ("event", "words"),
    [("interrupted", "a boot of the node cut it short"), ("reverted", "its agent died")],
)
def test_a_fault_cut_short_is_not_proved(event, words):
    cut = {"node": "n1", "fault": "pause", "event": event, "t_s": 8.0, "traces": []}
    lines = [line for line in held("n1") if line["event"] not in ("revert", "gone", "record")]
    assert f"n1: {words}" in pause(*lines, cut, *held("n2"))["reason"]


def test_a_unit_that_another_fault_keeps_down_is_not_held_against_the_first():
    def beside(kind, node="n2"):
        lines = [*held("n1"), *held("n2")]
        for line in lines:
            if line["event"] == "gone" and line["node"] == "n2":
                line.update(probe_passed=False, t_s=25.0)
        lines += [{**line, "fault": "other", "node": node} for line in held(node, 8.0, 20.0)]
        other = {
            "id": "other",
            "type": kind,
            "start_s": 8,
            "end_s": 20,
            "targets": [node],
            "nodes": {node: {}},
        }
        return fault_results({"faults": [PAUSE, other]}, lines, START_WALL_NS)[0]

    for kind in ("process", "pressure", "storage", "disk_fill", "power"):
        assert beside(kind)["proved"], kind
    for kind in ("partition", "link", "clock"):
        assert "n2: no probe passed" in beside(kind)["reason"]
    assert not beside("process", node="n1")["proved"]


def looks(kind, effects, start_s=5.0):
    """A fault of some kind on one node, whose looks say so each second."""
    end_s = start_s + len(effects)
    lines = held("n1", start_s, end_s)
    lines[0]["evidence_kind"] = kind
    lines = [line for line in lines if line["event"] != "evidence"]
    for second, effective in enumerate(effects):
        lines.append(
            {"node": "n1", "fault": "pause", "event": "evidence", "t_s": start_s + second + 0.9,
             "present": True, "effective": effective}
        )  # fmt: skip
    fault = PAUSE | {"targets": ["n1"], "nodes": {"n1": {}}, "start_s": start_s, "end_s": end_s}
    return fault_results({"faults": [fault]}, lines, START_WALL_NS)[0]


YES, NO = [True], [False]


@pytest.mark.parametrize(
    ("kind", "effects", "words"),
    [
        (None, NO * 5 + YES + NO * 4, ""),
        ("seen", NO * 5 + YES + NO * 4, ""),
        ("seen", NO * 10, "never seen"),
        ("sum", NO * 9 + YES, ""),
        ("sum", YES * 9 + NO, "its effect was not as asked, measured up to 14.9 s"),
        ("sum", NO * 10, "never seen"),
        ("level", NO * 3 + YES * 7, ""),
        ("level", NO * 2 + (YES + NO) * 4, ""),
        ("level", NO * 2 + YES * 2 + NO * 6, "seen at only 2 of 8 looks from 7.9 s on"),
        # One that is reached late has to be held for as long as it should have been, from the ramp on.
        ("level", NO * 8 + YES * 12, ""),
        ("level", NO * 15 + YES * 5, "seen at only 5 of 15 looks from 10.0 s on"),
    ],
)
def test_how_often_an_effect_has_to_be_seen_is_told_by_its_kind(kind, effects, words):
    fault = looks(kind, effects)
    assert (fault["proved"], words in fault["reason"]) == (not words, True), fault["reason"]


def test_what_is_written_after_the_end_counts_for_nothing():
    """A slow machine takes its last evidence late: it may be of another time, good or bad."""
    lines = held("n1")
    lines[0]["evidence_kind"] = "sum"
    for late_s, counts in ((0.9, True), (1.1, False)):
        late = {"node": "n1", "fault": "pause", "event": "evidence", "t_s": 10.0 + late_s}
        fault = pause(*lines, late | {"present": True, "effective": False}, targets=["n1"], nodes={"n1": {}})
        assert fault["proved"] is not counts


def proved_losses(asked, real, runs=100, seconds=15):
    """How many of so many faults are proved, when each of their probes is lost with a probability."""
    at_once = probes_at_once(Impairment(loss=asked), seconds, 0.25)
    proved = 0
    for seed in range(runs):
        draw, sent, lost, effects = random.Random(seed), 0, 0, []
        for _ in range(seconds):
            probes = 4 * at_once
            sent, lost = sent + probes, lost + sum(draw.random() < real for _ in range(probes))
            effects.append(plausible(asked, lost, sent, alone=True))
        proved += looks("sum", effects)["proved"]
    return proved


@pytest.mark.parametrize("asked", [0.02, 0.2, 0.5])
def test_a_right_loss_is_proved_and_a_doubled_one_is_not(asked):
    assert proved_losses(asked, asked) >= 95
    if asked >= 0.2:  # rarer ones are met too seldom to be told from their double
        assert proved_losses(asked, 2 * asked) <= 5


def booted(at_s=8.0, traces=(), kind="power", action="crash", node="n1", lost=(), **more):
    """A pause from 5 to 10 s on two nodes, of which another fault of the plan boots one."""
    cut = [line for line in held("n1") if line["t_s"] < at_s and line["event"] not in lost]
    cut.append({"node": "n1", "fault": "pause", "event": "interrupted", "t_s": 9.5, "traces": list(traces)})
    felt = {"felt_ns": START_WALL_NS + int((at_s + 0.4) * 1e9), "resolution_ms": 400.0}
    cut.append({"node": node, "fault": "boot", "event": "apply", "t_s": at_s + 0.4, **felt})
    boot = {"id": "boot", "type": kind, "params": {"action": action}, "start_s": at_s, "end_s": at_s + 5}
    plan = {"faults": [PAUSE, boot | {"targets": [node], "nodes": {}, "power": {node: {"action": action}}}]}
    return fault_results(plan, [*cut, *held("n2"), *more.get("lines", ())], START_WALL_NS)[0]


def test_a_boot_that_the_plan_brings_about_is_the_planned_end_on_that_node():
    fault = booted()
    assert (fault["proved"], fault["reason"]) == (True, "")
    assert fault["reverted_s"] == pytest.approx(10.1)
    assert fault["evidence"]["nodes"]["n1"]["reverted_s"] == pytest.approx(8.4)
    assert booted(kind="disk", action="fail")["proved"]
    stopped = {"node": "n1", "fault": "pause", "event": "reverted", "t_s": 8.2}
    assert booted(action="reboot", lines=[stopped])["proved"]


def test_only_a_boot_of_the_plan_on_that_node_in_that_window_is_a_planned_end():
    for change in ({"kind": "process"}, {"kind": "disk", "action": "slow"}, {"node": "n2"}, {"at_s": 12.0}):
        assert "n1: a boot of the node cut it short" in booted(**{"action": "crash"} | change)["reason"]


def test_what_a_planned_boot_ends_has_to_be_proved_until_then():
    assert "n1: traces are left: a mount" in booted(traces=["a mount"])["reason"]
    assert "n1: no evidence was taken" in booted(lost=("evidence",))["reason"]
    assert "n1: it never felt the fault begin" in booted(lost=("apply",))["reason"]
    died = {"node": "n1", "fault": "pause", "event": "reverted", "t_s": 7.0}
    assert "n1: its agent died" in booted(lines=[died])["reason"]
    assert not booted(at_s=5.2)["proved"]


def dark(*lines, from_s=13.0, silent_s=(), reason="no answer"):
    """A node that its management controller takes from 5 to `from_s` to cut, and has off until 30 s."""
    felt = {"felt_ns": START_WALL_NS + int(from_s * 1e9), "resolution_ms": (from_s - 5) * 1e3}
    own = [{"event": "check", "t_s": 4.0, "able": True}, {"event": "apply", "t_s": from_s, **felt}]
    for at_s in range(int(from_s) + 1, 31):
        seen = at_s not in silent_s
        told = {} if seen else {"reason": reason}
        own.append({"event": "evidence", "t_s": float(at_s), "present": seen, "effective": seen, **told})
    back = {"felt_ns": START_WALL_NS + int(30.1e9), "resolution_ms": 100.0}
    own += [{"event": "revert", "t_s": 30.1, **back}, {"event": "gone", "t_s": 31.0, "traces": []}, *lines]
    fault = {"id": "dark", "type": "power", "start_s": 5.0, "end_s": 30.0, "targets": ["n1"], "nodes": {}}
    plan = {"faults": [{**fault, "power": {"n1": {"action": "off"}}}]}
    return fault_results(plan, [{"node": "n1", "fault": "dark", **line} for line in own], START_WALL_NS)[0]


def test_a_slow_act_is_looked_at_from_when_it_is_done():
    assert (dark()["proved"], dark()["reason"]) == (True, "")


def test_a_switch_that_does_not_answer_is_the_reason_that_is_told():
    assert "n1: it was not in place at 20.0 s (no answer)" in dark(silent_s=(20,))["reason"]
    error = {"event": "error", "t_s": 31.0, "message": "https://bmc: timed out"}
    assert "n1: it ended in an error: https://bmc: timed out" in dark(error)["reason"]
