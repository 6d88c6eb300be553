# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Healing a node: no run goes on, no fault is left, whoever began it and whatever is known of it."""

from __future__ import annotations

import json
import pkgutil
import subprocess
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils import faults
from ansible_collections.foundation.testbed.plugins.module_utils.agent.paths import UNIT_PREFIX
from ansible_collections.foundation.testbed.plugins.module_utils.agent.undo import UndoJournal, fault_module


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


def fault_kinds() -> list[str]:
    """Every kind of fault there is a file for."""
    return sorted(info.name for info in pkgutil.iter_modules(faults.__path__))


def to_heal() -> dict[str, Any]:
    """Return what `heal` would do, and change nothing."""
    swept = [trace for kind in fault_kinds() for trace in fault_module(kind).leftovers()]
    return {
        "stopped": active_units(),
        "reverted": [entry["fault"] for entry in UndoJournal().entries()],
        "swept": swept,
    }


def heal() -> dict[str, Any]:
    """Stop every run, take back every fault; returns what was done: `{"stopped", "reverted", "swept"}`."""
    stopped = active_units()
    for unit in stopped:
        subprocess.run(["systemctl", "stop", unit], check=False, timeout=60, capture_output=True)
    try:
        reverted = UndoJournal().revert()
    finally:  # whatever the journal cannot take back, the sweep may
        swept = [trace for kind in fault_kinds() for trace in fault_module(kind).sweep()]
    return {"stopped": stopped, "reverted": reverted, "swept": swept}
