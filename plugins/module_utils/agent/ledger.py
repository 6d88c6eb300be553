# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The ledger: every act of every fault on this node, one JSON object a line, appended as it happens."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.agent.clock import RunClock


class Ledger:
    """Appends whole lines, so that several processes may write and a kill loses none that was written."""

    def __init__(self, path: Path, node: str, clock: RunClock):
        self.path = path
        self.node = node
        self.clock = clock

    def write(
        self, event: str, fault: Optional[str] = None, kind: Optional[str] = None, **fields: Any
    ) -> None:
        """Append one event; `fault` and `kind` are None for events of the agent itself."""
        record = {
            "node": self.node,
            "fault": fault,
            "type": kind,
            "event": event,
            "wall_ns": time.time_ns(),
            "mono_ns": time.monotonic_ns(),
            "t_s": round(self.clock.now_s(), 6),
            **fields,
        }
        line = (json.dumps(record) + "\n").encode()
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)
