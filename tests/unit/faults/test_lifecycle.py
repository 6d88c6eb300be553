# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a fault of any kind writes into the ledger, step by step; a kind that does nothing stands in."""

from __future__ import annotations

import asyncio
import json
import time
from unittest.mock import Mock

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.agent import lifecycle
from ansible_collections.foundation.testbed.plugins.module_utils.agent.clock import RunClock
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import (
    Fault,
    fault_class,
    fault_kinds,
)
from ansible_collections.foundation.testbed.plugins.module_utils.agent.ledger import Ledger

EVIDENCE_KINDS = {
    ("link", ""): "sum",
    ("clock", "skew"): "sum",
    ("clock", "step"): "seen",
    ("disk_fill", ""): "level",
    ("process", ""): "seen",
    ("partition", ""): "seen",
}


class Idle(Fault):
    """Does nothing, as well as it can."""

    evidence_kind = "level"

    def undo(self):
        return {"trace": "none"}

    def apply(self):
        pass

    def evidence(self):
        return {"present": True, "effective": True}

    @staticmethod
    def revert(undo):
        pass


@pytest.fixture
def lived(tmp_path, monkeypatch):
    """Live through a fault and return its lines of the ledger."""

    def live(kind=Idle, **program):
        monkeypatch.setattr(lifecycle, "fault_class", lambda name: kind)
        clock = RunClock(time.time_ns())
        ledger = Ledger(tmp_path / "ledger.jsonl", "n1", clock)
        whole = {"id": "f", "type": "idle", "node": {}, "start_s": 0.2, "end_s": 0.9, **program}
        asyncio.run(lifecycle.FaultRun("r", whole, clock, ledger, Mock()).live())
        return [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]

    return live


def test_every_step_is_one_line_and_the_check_says_how_to_judge(lived):
    lines = lived()
    assert [line["event"] for line in lines] == [
        "check", "apply", "load", "evidence", "evidence", "revert", "gone", "record",
    ]  # fmt: skip
    assert lines[0]["evidence_kind"] == "level" and lines[0]["able"] is True


def test_a_slow_node_looks_less_often_and_still_tells_what_it_saw(lived):
    """Looks without a pause between them would leave nothing of a slow node to its system."""

    class Slow(Idle):
        busy_s = 0.0

        def observe(self):
            time.sleep(0.35)
            Slow.busy_s += 0.35

    lines = lived(Slow, end_s=2.2)
    assert 0.7 <= Slow.busy_s <= 1.4, "of two seconds"
    assert sum(line["event"] == "evidence" for line in lines) >= 2
    assert lines[-1]["event"] == "record"


@pytest.mark.parametrize(("kind", "action"), EVIDENCE_KINDS)
def test_kinds_say_what_their_evidence_is(kind, action):
    fault = fault_class(kind).__new__(fault_class(kind))
    fault.program = {"action": action}
    assert fault.evidence_kind == EVIDENCE_KINDS[kind, action]


@pytest.mark.parametrize("kind", fault_kinds())
def test_every_kind_has_one_that_the_judge_knows(kind):
    if kind != "pressure":  # its resources know
        fault = fault_class(kind).__new__(fault_class(kind))
        fault.program = {"action": "step"}
        assert fault.evidence_kind in ("seen", "sum", "level")


WHEN = {"when": {"state": "leader", "is": True, "system": "etcd", "within_s": 0.5}, "for_s": 0.6}


class Slow(Idle):
    """Takes its time to say whether it can."""

    able = True

    @staticmethod
    def capable(program):
        time.sleep(0.4)
        return [] if Slow.able else ["it cannot"]


@pytest.fixture
def leads(monkeypatch):
    """Say when a node's own system leads: from so many seconds after the start on."""

    def from_s(at_s):
        async def reached(condition, clock, deadline_s):
            await clock.until(min(at_s, deadline_s))
            return {"leader": True} if at_s <= deadline_s else None

        monkeypatch.setattr(lifecycle.states, "reached", reached)

    return from_s


def test_a_node_is_asked_before_the_state_so_that_the_act_comes_right_after(lived, leads):
    leads(0.7)
    lines = lived(Slow, **WHEN)
    assert [line["event"] for line in lines][:4] == ["check", "when", "apply", "load"]
    when, apply, load = lines[1:4]
    assert apply["t_s"] - when["t_s"] < 0.3
    # It holds from the state on, as long as was asked.
    assert load["end_wall_ns"] - load["start_wall_ns"] == pytest.approx(0.6e9, abs=1e3)
    assert lines[-1]["t_s"] - when["t_s"] == pytest.approx(0.6, abs=0.3)


@pytest.mark.parametrize(("at_s", "last"), [(0.6, "when"), (9.0, "idle")])
def test_a_node_that_cannot_does_nothing_and_is_missed_only_where_its_state_came(
    lived, leads, monkeypatch, at_s, last
):
    leads(at_s)
    monkeypatch.setattr(Slow, "able", False)
    lines = lived(Slow, **WHEN)
    assert [line["event"] for line in lines] == ["check", last]
    assert lines[0]["reasons"] == ["it cannot"]
