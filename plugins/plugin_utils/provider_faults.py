# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What providers do to their nodes right now, as its journals say on the machine that has the nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths

STATE_DIR = "/var/lib/foundation-testbed"

Record = dict[str, Any]


def lab_of(testbed_id: str, task_vars: Mapping[str, Any]) -> LabPaths:
    """Return where a testbed keeps what it has on a machine."""
    return LabPaths(Path(str(task_vars.get("testbed_state_dir", STATE_DIR))), testbed_id)


def iso(wall_s: float) -> str:
    """Return an instant as people read it."""
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds")


def listed(faults: Iterable[Record]) -> list[Record]:
    """Return faults that hold on a node as `foundation.testbed.fault_info` lists its own."""
    instants = ("since_s", "until_s")
    return [
        {
            **{key: value for key, value in fault.items() if key not in instants},
            **{key.removesuffix("_s"): iso(fault[key]) for key in instants},
        }
        for fault in faults
    ]


def unreachable(faults: list[Record]) -> bool:
    """Whether a node that is so treated cannot be asked itself."""
    return any(fault["action"] in ("off", "fail") for fault in faults)
