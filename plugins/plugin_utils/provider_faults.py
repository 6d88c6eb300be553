# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What providers do to their nodes right now, as its journals on this machine say."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths
from ansible_collections.foundation.testbed.plugins.module_utils.lab.provider_fault import cut_entries

STATE_DIR = "/var/lib/foundation-testbed"

Record = dict[str, Any]


def lab_of(testbed_id: str, task_vars: Mapping[str, Any]) -> LabPaths:
    """Return where a testbed keeps what it has on this machine."""
    return LabPaths(Path(str(task_vars.get("testbed_state_dir", STATE_DIR))), testbed_id)


def iso(wall_s: float) -> str:
    """Return an instant as people read it."""
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds")


def active(lab: LabPaths, node: str) -> list[Record]:
    """Return the faults that hold on a node, as `foundation.testbed.fault_info` lists its own."""
    return list(_active(lab, node))


def unreachable(faults: list[Record]) -> bool:
    """Whether a node that is so treated cannot be asked itself."""
    return any(fault["action"] in ("off", "fail") for fault in faults)


def _active(lab: LabPaths, node: str) -> Iterator[Record]:
    for path, entry in cut_entries(lab):
        if entry["node"] != node or not entry["applied"] or "last" in entry:
            continue
        try:
            job = json.loads((path.parent / "job.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):  # it ends just now
            continue
        (fault,) = [one for one in job["faults"] if (one["id"], one["node"]) == (entry["id"], node)]
        until_s = job["start_wall_ns"] / 1e9 + fault["end_s"]
        yield {
            "fault": entry["id"],
            "type": entry["type"],
            "action": entry["action"],
            "run": job["run"],
            "since": iso(entry["ended_ns"] / 1e9),
            "until": iso(until_s),
            "left_s": round(until_s - time.time(), 3),
            "trace": path.name,
        }
