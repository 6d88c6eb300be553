# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Healing a node: no run goes on, no fault is left, whoever began it and whatever is known of it."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import fault_class, fault_kinds
from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import write_json
from ansible_collections.foundation.testbed.plugins.module_utils.agent.paths import RUNS, UNIT_PREFIX
from ansible_collections.foundation.testbed.plugins.module_utils.agent.problems import Problems
from ansible_collections.foundation.testbed.plugins.module_utils.agent.undo import UndoJournal
from ansible_collections.foundation.testbed.plugins.module_utils.agent.unit import TAKE_BACK_S

# Seconds for a unit to end its agent and to take back all that it applied.
STOP_S = TAKE_BACK_S + 60


def active_units() -> list[str]:
    """Units of runs that go on on this node."""
    done = subprocess.run(
        ["systemctl", "list-units", "--all", "--plain", "--no-legend", "--output=json", f"{UNIT_PREFIX}*"],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    return [unit["unit"] for unit in json.loads(done.stdout or "[]")]


def to_heal() -> dict[str, Any]:
    """Return what `heal` would do, and change nothing."""
    return {
        "stopped": active_units(),
        "reverted": [entry["fault"] for entry in UndoJournal().entries()],
        "swept": [undo["trace"] for kind in fault_kinds() for undo in fault_class(kind).leftovers()],
    }


def heal() -> dict[str, Any]:
    """Stop every run, take back every fault; returns what was done: `{"stopped", "reverted", "swept"}`.

    Nothing that fails stops the rest: what the journal cannot take back, the sweep may. Raises RuntimeError.
    """
    problems, done = Problems(), {name: list[str]() for name in ("stopped", "reverted", "swept")}
    with problems.of("the units of runs"):
        for unit in active_units():
            with problems.of(unit):
                subprocess.run(["systemctl", "stop", unit], check=False, timeout=STOP_S, capture_output=True)
                done["stopped"].append(unit)
    with problems.of("the journal"):
        done["reverted"] = UndoJournal().revert()
    done["swept"] = sweep(problems)
    end_plans(problems)
    problems.raise_any()
    return done


def end_plans(problems: Problems) -> None:
    """Have no plan that is staged here go on, also not after a boot."""
    for program in RUNS.glob("*/program.json"):
        if not (done := program.with_name("done.json")).exists():
            with problems.of(str(done)):
                write_json(done, {"healed_wall_ns": time.time_ns()}, durable=True)


def sweep(problems: Problems) -> list[str]:
    """Remove every trace of any kind that no journal knows of; returns their names."""
    swept = []
    for kind in fault_kinds():
        with problems.of(kind):
            for undo in fault_class(kind).leftovers():
                with problems.of(undo["trace"]):
                    fault_class(kind).revert(undo)
                    swept.append(undo["trace"])
    return swept


def active() -> list[dict[str, Any]]:
    """What is active on this node: fault, kind, run, since and until (wall clock, ns), and its trace.

    A trace that no journal knows of has no run; its times are not known.
    """
    known = [
        {
            "fault": entry["fault"],
            "type": entry["type"],
            "run": entry["run"],
            "since_wall_ns": entry.get("since_wall_ns"),
            "until_wall_ns": entry.get("until_wall_ns"),
            "left_s": _left_s(entry.get("until_wall_ns")),
            "trace": entry["undo"]["trace"],
        }
        for entry in UndoJournal().entries()
    ]
    traces = {entry["trace"] for entry in known}
    strays = [
        {
            "fault": None,
            "type": kind,
            "run": None,
            "since_wall_ns": None,
            "until_wall_ns": None,
            "left_s": None,
            "trace": undo["trace"],
        }
        for kind in fault_kinds()
        for undo in fault_class(kind).leftovers()
        if undo["trace"] not in traces
    ]
    return known + strays


def _left_s(until_wall_ns: Any) -> Any:
    return None if until_wall_ns is None else round((until_wall_ns - time.time_ns()) / 1e9, 3)
