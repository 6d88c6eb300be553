# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The node's side: a fault goes through its steps in order and is taken back whatever happens."""

from __future__ import annotations

import asyncio
import json
import sys
import time
import types

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.agent import lifecycle, states, undo
from ansible_collections.foundation.testbed.plugins.module_utils.agent.clock import RunClock
from ansible_collections.foundation.testbed.plugins.module_utils.agent.enrolment import NotEnrolled, require
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import Fault
from ansible_collections.foundation.testbed.plugins.module_utils.agent.ledger import Ledger
from ansible_collections.foundation.testbed.plugins.module_utils.agent.probe import watch_edge
from ansible_collections.foundation.testbed.plugins.module_utils.faults import _cut_rules, _table_name

KIND = "made_up_for_this_test"
MODULE = f"ansible_collections.foundation.testbed.plugins.module_utils.faults.{KIND}"


class FakeFault(Fault):
    """A fault whose effect is the clock: on from its start to its end. Notes every call."""

    reasons, broken = (), None
    lead_s, lapses, feels = 0.05, True, True

    @classmethod
    def capable(cls, program):
        CALLS.append("check")
        return list(cls.reasons)

    def undo(self):
        return {"trace": "it"}

    def apply(self):
        CALLS.append("apply")
        if self.broken:
            raise self.broken

    def felt(self):
        return self.context.start_wall_ns <= time.time_ns() < self.context.end_wall_ns

    def observe(self):
        CALLS.append("observe")

    def evidence(self):
        return {"present": True, "effective": True, "packets": {"out": 1}, "probes": {"sent": 1}}

    @staticmethod
    def revert(undo):
        CALLS.append("revert")


CALLS: list[str] = []


@pytest.fixture
def live(tmp_path, monkeypatch):
    """Live one fault through; returns its ledger events and what the undo journal still holds."""

    def go(timing=None, **attributes):
        CALLS.clear()
        module = types.ModuleType(MODULE)
        module.FAULT = type("Fault", (FakeFault,), attributes)
        monkeypatch.setitem(sys.modules, MODULE, module)
        journal = undo.UndoJournal(tmp_path / "undo", tmp_path / "volatile")
        real_add = journal.add
        monkeypatch.setattr(journal, "add", lambda *a, **k: (CALLS.append("journal"), real_add(*a, **k)))
        clock = RunClock(time.time_ns() + 100_000_000)
        ledger = Ledger(tmp_path / "ledger.jsonl", "n1", clock)
        program = {"id": "f", "type": KIND, "start_s": 0.2, "end_s": 1.2, "for_s": 1.0, "node": {}}
        asyncio.run(lifecycle.FaultRun("r", program | (timing or {}), clock, ledger, journal).live())
        entries = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
        return [entry["event"] for entry in entries], journal.entries()

    return go


def test_the_six_steps_come_in_order(live):
    events, left = live()
    assert [e for e in events if e != "evidence"] == ["check", "load", "apply", "revert", "gone", "record"]
    assert CALLS[:3] == ["check", "journal", "apply"] and CALLS[-1] == "revert" and "observe" in CALLS
    assert left == []


def test_a_fault_that_cannot_be_is_not_applied(live):
    events, left = live(reasons=["no kernel for it"])
    assert events == ["check"] and CALLS == ["check"] and left == []


def test_an_apply_that_fails_is_taken_back(live):
    """The journal is written before the effect, so half an effect is undone too."""
    events, left = live(broken=OSError("half done"))
    assert events[-1] == "error" and CALLS == ["check", "journal", "apply", "revert"] and left == []


@pytest.mark.parametrize(("refusals", "errors", "left_over"), [(2, 2, 0), (99, 1 + lifecycle.TRIES, 1)])
def test_a_revert_that_fails_is_tried_again_and_ends_no_other_fault(
    live, monkeypatch, refusals, errors, left_over
):
    """What cannot be taken back stays in the journal, for the end of the unit."""
    left = iter(range(refusals))

    def revert(undo):
        if next(left, None) is not None:
            raise OSError("busy")

    monkeypatch.setattr(lifecycle, "TRY_AGAIN_S", 0.01)
    events, journal = live(revert=staticmethod(revert))
    assert events.count("error") == errors and len(journal) == left_over


def test_a_fault_that_the_agent_holds_ends_by_its_act(live):
    """Nothing begins or ends by itself: what the agent did is what is written down."""
    events, left = live(lead_s=0.0, lapses=False, feels=False)
    assert [e for e in events if e != "evidence"] == ["check", "apply", "load", "revert", "gone", "record"]
    assert events.index("revert") == events.index("gone") - 1 and left == []


def status(monkeypatch, *answers):
    """The node's own system says these things one after another, the last for ever."""
    said = iter(answers)
    last = answers[-1]
    monkeypatch.setattr(states.system, "status", lambda name: next(said, last))


HELD = {"lead_s": 0.0, "lapses": False, "feels": False}


def test_a_fault_begins_on_a_state_of_the_system(live, monkeypatch):
    status(monkeypatch, {"leader": None}, {"leader": False}, {"leader": False}, {"leader": True})
    when = {"state": "leader", "changed": True, "system": "etcd", "within_s": 5.0}
    events, left = live({"when": when, "for_s": 0.5}, **HELD)
    assert events[:3] == ["check", "when", "apply"] and events[-1] == "record" and left == []


def test_a_state_that_does_not_come_leaves_the_node_alone(live, monkeypatch):
    status(monkeypatch, {"lag": 3})
    events, left = live({"when": {"state": "lag", "above": 5, "system": "etcd", "within_s": 0.3}}, **HELD)
    assert events == ["check", "idle"] and CALLS == ["check"] and left == []


def test_a_fault_ends_early_on_a_state_of_the_system(live, monkeypatch):
    status(monkeypatch, {"lag": 3}, {"lag": 9})
    began = time.monotonic()
    events, left = live({"end_s": 20.2, "until": {"state": "lag", "above": 5, "system": "etcd"}}, **HELD)
    assert time.monotonic() - began < 10
    assert events[-4:] == ["evidence", "revert", "gone", "record"] and "until" in events and left == []


@pytest.mark.parametrize(("leads", "first"), [(True, "where"), (False, "idle")])
def test_only_the_nodes_it_is_about_take_part(live, monkeypatch, leads, first):
    status(monkeypatch, {"leader": leads})
    events, left = live({"where": {"state": "leader", "is": True, "system": "etcd"}}, **HELD)
    assert events[:2] == ["check", first] and ("apply" in events) is leads and left == []


def test_observations_keep_clear_of_both_edges():
    times = lifecycle.observation_times(10, 20, 0.25)
    assert times[0] == 10.25 and times[-1] <= 19.9 and len(times) == 39


def test_an_edge_is_felt_between_two_looks():
    answers = iter([False, False, True])
    edge = watch_edge(lambda: next(answers), True, time.time_ns(), time.time_ns() + 10**10)
    assert edge.resolution_ms > 0


def test_an_edge_there_at_the_first_look_has_no_resolution():
    assert watch_edge(lambda: True, True, time.time_ns(), time.time_ns() + 10**10).resolution_ms is None


def test_an_edge_that_does_not_come_is_given_up():
    assert watch_edge(lambda: False, True, time.time_ns(), time.time_ns() + 20_000_000) is None


def test_only_hosts_of_this_testbed_are_touched(tmp_path):
    marker = tmp_path / "enrolment.json"
    with pytest.raises(NotEnrolled, match="not enrolled in any"):
        require("mine", marker)
    marker.write_text('{"testbed_id": "theirs"}')
    with pytest.raises(NotEnrolled, match="'theirs', not in 'mine'"):
        require("mine", marker)
    marker.write_text('{"testbed_id": "mine"}')
    require("mine", marker)


def test_the_rules_of_a_partition_begin_end_and_time_out_by_themselves():
    text = _cut_rules.ruleset("foundation_testbed_x", ["10.0.0.2", "10.0.0.1"], (100, 120), 22500)
    assert text.count("meta time >= 100 meta time < 120") == 2
    assert "elements = { 10.0.0.1 timeout 22500ms, 10.0.0.2 timeout 22500ms }" in text
    assert "ip saddr @peers counter name dropped_in drop" in text
    assert "ip daddr @peers counter name dropped_out drop" in text
    assert "flush" not in text


def test_a_table_bears_only_names_that_nft_takes():
    assert (
        _table_name.table_name("20261123T231500Z-Run", "split-1")
        == "foundation_testbed_20261123t231500z_run_split_1"
    )


@pytest.mark.parametrize(
    ("items", "present"),
    [
        ([{"rule": {"chain": "input"}}, {"rule": {"chain": "output"}}], True),
        ([{"rule": {"chain": "output"}}], False),
        ([], False),
    ],
)
def test_evidence_says_whether_both_rules_are_in_place(items, present):
    counters = [{"counter": {"name": "dropped_out", "packets": 7}}]
    evidence = _cut_rules.evidence_of([*items, *counters], ["input", "output"])
    assert evidence == {"present": present, "packets": {"in": 0, "out": 7}}
    assert _cut_rules.evidence_of([], ["input", "output"]) == {
        "present": False,
        "packets": {"in": 0, "out": 0},
    }
