# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The ledger: every act of every fault on this node, one JSON object a line, appended as it happens."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.agent.clock import RunClock
from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import Lines

# What an agent writes down that ends before its plan does.
TOLD_TO_STOP = "the agent was told to stop before the plan's end"


class Ledger:
    """One file of events; no fault stops for what a full disk refuses of it."""

    def __init__(self, path: Path, node: str, clock: RunClock):
        self.path = path
        self.node = node
        self.clock = clock
        self._lines = Lines(path)

    def write(
        self, event: str, fault: Optional[str] = None, kind: Optional[str] = None, **fields: Any
    ) -> None:
        """Append one event; `fault` and `kind` are None for events of the agent itself."""
        self._lines.append(
            {
                "node": self.node,
                "fault": fault,
                "type": kind,
                "event": event,
                "wall_ns": time.time_ns(),
                "mono_ns": time.monotonic_ns(),
                "t_s": round(self.clock.now_s(), 6),
                **fields,
            }
        )

    def faults_with(self, events: Sequence[str]) -> set[str]:
        """Ids of the faults of which the file holds one of these events."""
        entries = self._lines.records()
        return {
            str(entry["fault"]) for entry in entries if entry.get("event") in events and entry.get("fault")
        }

    @property
    def whole(self) -> bool:
        """Whether every event has reached the file."""
        return self._lines.whole

    def flush(self) -> None:
        """Write what is still in memory; raises OSError when the disk refuses."""
        self._lines.flush()
