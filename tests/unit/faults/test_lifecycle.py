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
