# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The ledger: every act of every fault on this node, one JSON object a line, appended as it happens."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.agent.clock import RunClock


class Ledger:
    """Appends whole lines, so that several processes may write and a kill loses none that was written.

    What a full disk refuses is kept in memory, in order, until there is room: no fault stops for it.
    """

    def __init__(self, path: Path, node: str, clock: RunClock):
        self.path = path
        self.node = node
        self.clock = clock
        self._unwritten = b""
        self._lock = threading.Lock()

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
        with self._lock:
            self._unwritten += (json.dumps(record) + "\n").encode()
            with contextlib.suppress(OSError):
                self._append()

    def faults_with(self, events: Sequence[str]) -> set[str]:
        """Ids of the faults of which the file holds one of these events."""
        if not self.path.exists():
            return set()
        lines = self.path.read_text(encoding="utf-8").splitlines()
        entries = [json.loads(line) for line in lines if line.endswith("}")]
        return {entry["fault"] for entry in entries if entry["event"] in events}

    @property
    def whole(self) -> bool:
        """Whether every event has reached the file."""
        return not self._unwritten

    def flush(self) -> None:
        """Write what is still in memory; raises OSError when the disk refuses."""
        with self._lock:
            self._append()

    def _append(self) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            while self._unwritten:
                self._unwritten = self._unwritten[os.write(descriptor, self._unwritten) :]
        finally:
            os.close(descriptor)
