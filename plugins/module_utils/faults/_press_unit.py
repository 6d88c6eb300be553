# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the kinds of pressure on one unit share: its processes, and the records of what holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.agent import processes
from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import read_all
from ansible_collections.foundation.testbed.plugins.module_utils.agent.processes import Process

# Every fault that holds has its undo record here; a boot leaves none.
MARKERS = Path("/run/foundation-testbed/pressure")


def records(other_than: str = "") -> list[dict[str, Any]]:
    """Undo records of the faults of this kind that hold on this node, but for one."""
    return [undo for undo in read_all(MARKERS) if undo["name"] != other_than]


def not_running(unit: str) -> list[str]:
    """Reasons why a unit has no processes to press on."""
    if processes.of_units([unit]):
        return []
    return [f"unit: given {unit!r}, which has no process here; allowed: a service that runs"]


def living(pid: int, start: int) -> Optional[Process]:
    """The process that began then with that number, if it still lives."""
    process = processes.read_process(pid)
    return process if process is not None and process.start == start else None
