# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A kind of fault that is watched, a journal of its own, and the program of an agent."""

from __future__ import annotations

import sys
import time
import types
from typing import ClassVar

import pytest
from agent_support import FAULTS
from ansible_collections.foundation.testbed.plugins.module_utils.agent import (
    heal,
    recover,
    runner,
    undo,
)
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import Fault


@pytest.fixture
def kind(monkeypatch):
    """A kind of fault that notes what is taken back and fails where it is told to."""

    class Pretended(Fault):
        taken_back: ClassVar[list[str]] = []
        stubborn: ClassVar[set[str]] = set()
        left: ClassVar[list[str]] = ["trace"]
        survives_reboot = False

        @staticmethod
        def revert(undo):
            if undo["trace"] in Pretended.stubborn:
                raise RuntimeError("busy")
            Pretended.taken_back.append(undo["trace"])
            if undo["trace"] in Pretended.left:
                Pretended.left.remove(undo["trace"])

        @staticmethod
        def leftovers():
            return [{"trace": trace} for trace in Pretended.left]

        @staticmethod
        def capable(program):
            return ["no nft"]

    module = types.ModuleType(f"{FAULTS}.pretended")
    module.FAULT = Pretended
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return Pretended


@pytest.fixture
def journal(tmp_path, monkeypatch):
    journal = undo.UndoJournal(tmp_path / "undo", tmp_path / "volatile")
    for name in (heal, runner, recover):
        monkeypatch.setattr(name, "UndoJournal", lambda: journal)
    monkeypatch.setattr(heal, "active_units", list)
    monkeypatch.setattr(heal, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(heal, "fault_kinds", lambda: ["pretended"])
    return journal


@pytest.fixture
def program(monkeypatch):
    monkeypatch.setattr(runner.enrolment, "require", lambda testbed_id: None)
    return {
        "run": "r", "testbed_id": "t", "node": "n1", "start_wall_ns": time.time_ns() + 2 * 10**8,
        "duration_s": 0.2, "systems": [], "faults": [], "load": [],
    }  # fmt: skip
