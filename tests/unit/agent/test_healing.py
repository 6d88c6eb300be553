# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The undo journal, healing, and what is taken back after a death or a boot."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import types

import pytest
from agent_support import FAULTS, events
from ansible_collections.foundation.testbed.plugins.module_utils.agent import (
    heal,
    recover,
)
from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import write_json


def test_the_journal_takes_back_one_run_or_all(journal, kind):
    for run, fault in (("r1", "a"), ("r1", "b"), ("r2", "a")):
        journal.add(run, fault, "pretended", {"trace": f"{run}{fault}"})
    journal.revert_one("r1", "b")
    assert kind.taken_back == ["r1b"]
    assert journal.revert("r2") == ["a"]
    assert [entry["undo"]["trace"] for entry in journal.entries()] == ["r1a"]
    assert journal.revert() == ["a"]
    assert journal.entries() == journal.revert() == []


def test_what_lies_on_the_disk_is_taken_back_last(journal, kind, monkeypatch):
    """A large file takes its time, and kernel rules must not wait for it."""
    for fault, survives in (("a", True), ("b", False), ("c", True), ("d", False)):
        monkeypatch.setattr(kind, "survives_reboot", survives)
        journal.add("r", fault, "pretended", {"trace": fault})
    assert journal.revert() == ["b", "d", "a", "c"]


def test_one_fault_that_stays_keeps_no_other_from_being_taken_back(journal, kind):
    """It stays in the journal for the next heal, and is named."""
    kind.stubborn.add("a")
    for fault in ("a", "b"):
        journal.add("r", fault, "pretended", {"trace": fault})
    with pytest.raises(RuntimeError, match="not taken back: a of the run r: RuntimeError: busy"):
        journal.revert()
    assert kind.taken_back == ["b"]
    assert [entry["fault"] for entry in journal.entries()] == ["a"]


def test_heal_sweeps_even_where_the_journal_fails(journal, kind):
    kind.stubborn.add("a")
    journal.add("r", "a", "pretended", {"trace": "a"})
    with pytest.raises(RuntimeError):
        heal.heal()
    assert kind.left == []


def test_heal_says_what_it_did_and_is_idempotent(journal, kind):
    journal.add("r", "a", "pretended", {"trace": "a"})
    done = {"stopped": [], "reverted": ["a"], "swept": ["trace"]}
    assert heal.to_heal() == done
    assert kind.taken_back == []  # it only looked
    assert [entry["fault"] for entry in heal.active()] == ["a", None]
    assert heal.heal() == done
    assert heal.heal() == heal.to_heal() == {"stopped": [], "reverted": [], "swept": []}


def test_no_plan_goes_on_after_a_boot_once_the_node_is_healed(journal, kind, tmp_path):
    (tmp_path / "runs").mkdir()
    staged(tmp_path / "runs" / "goes-on", -5, 10, "armed.json")
    staged(tmp_path / "runs" / "ended", -5, 10, "armed.json", "done.json")
    heal.heal()
    assert not any(recover.goes_on(folder) for folder in (tmp_path / "runs").iterdir())
    assert json.loads((tmp_path / "runs" / "ended" / "done.json").read_text()) == {"armed": True}


def test_a_dead_agents_faults_are_taken_back_and_that_is_written_down(journal, kind, tmp_path, monkeypatch):
    monkeypatch.setattr(recover, "run_dir", lambda run: tmp_path)
    write_json(tmp_path / "program.json", {"node": "n1", "start_wall_ns": time.time_ns()})
    for fault in ("a", "b"):
        journal.add("r", fault, "pretended", {"trace": fault})
    kind.stubborn.add("a")
    with pytest.raises(RuntimeError, match="not taken back"):
        recover.revert_run("r")
    entries = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    assert [(entry["event"], entry["fault"]) for entry in entries] == [("error", "a"), ("reverted", "b")]


def staged(folder, start_s, duration_s, *files):
    folder.mkdir()
    write_json(
        folder / "program.json",
        {
            "node": "n1",
            "start_wall_ns": int((time.time() + start_s) * 1e9),
            "duration_s": duration_s,
            "faults": [],
            "load": [],
        },
    )
    for name in files:
        write_json(folder / name, {"armed": True})


def test_after_a_boot_only_plans_that_go_on_are_gone_on_with(tmp_path):
    staged(tmp_path / "over", -20, 10, "armed.json")
    staged(tmp_path / "done", -5, 10, "armed.json", "done.json")
    staged(tmp_path / "never-armed", -5, 10)
    staged(tmp_path / "too-late", -5, 10)
    write_json(tmp_path / "too-late" / "armed.json", {"armed": False, "late_s": 1.0})
    staged(tmp_path / "goes-on", -5, 10, "armed.json")
    assert [folder.name for folder in tmp_path.iterdir() if recover.goes_on(folder)] == ["goes-on"]


def test_after_a_boot_no_run_stops_another(journal, kind, tmp_path, monkeypatch):
    """One cannot be taken back, one has lost its folder, one its program, one has a torn ledger."""
    begun = []
    monkeypatch.setattr(recover, "run_dir", lambda run: tmp_path / "runs" / run)
    monkeypatch.setattr(recover, "unit_command", lambda program, resumed: begun.append(program) or ["true"])
    (tmp_path / "runs").mkdir()
    for run in ("r1", "r2", "r4"):
        staged(tmp_path / "runs" / run, -5, 10, "armed.json")
    (tmp_path / "runs" / "r2" / "program.json").write_text("")
    (tmp_path / "runs" / "r4" / "ledger.jsonl").write_text('{"event": "armed"}\n{"event": "st')
    for run in ("r1", "r2", "r3", "r4"):
        journal.add(run, run, "pretended", {"trace": run})
    kind.stubborn.add("r1")
    with pytest.raises(RuntimeError, match=r"^r1: RuntimeError: not taken back.*; r2: JSONDecodeError"):
        recover.recover(tmp_path / "runs")
    assert kind.taken_back == ["r2", "r3", "r4"]
    assert len(begun) == 2
    assert events(tmp_path / "runs" / "r4") == ["armed", "reverted"]


def test_healing_goes_on_after_whatever_goes_wrong(journal, kind, monkeypatch, tmp_path):
    """A unit does not end in time, one kind cannot be swept, one trace stays: the rest is healed."""

    def run(command, **options):
        raise subprocess.TimeoutExpired(command, 1)

    def leftovers():
        raise OSError("no such table")

    ill = types.ModuleType(f"{FAULTS}.ill")
    ill.FAULT = type("Ill", (kind,), {"leftovers": staticmethod(leftovers)})
    monkeypatch.setitem(sys.modules, ill.__name__, ill)
    monkeypatch.setattr(heal, "fault_kinds", lambda: ["ill", "pretended"])
    monkeypatch.setattr(heal, "active_units", lambda: ["foundation-testbed-run-r.service"])
    monkeypatch.setattr(heal.subprocess, "run", run)
    monkeypatch.setattr(kind, "left", ["stays", "goes"])
    kind.stubborn.add("stays")
    journal.add("r", "a", "pretended", {"trace": "a"})
    with pytest.raises(RuntimeError, match=r"TimeoutExpired.*; ill: OSError.*; stays: RuntimeError: busy"):
        heal.heal()
    assert kind.taken_back == ["a", "goes"]
