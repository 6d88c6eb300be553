# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The undo journal: what has to be taken back on this node.

An entry is written before the act and removed after it is undone. What would survive a reboot is written to
the disk, durably; what would not lies in memory, so that a full disk keeps no fault from being journalled.
"""

from __future__ import annotations

import glob
import time
from pathlib import Path
from typing import Any, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import fault_class
from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import read_all, write_json
from ansible_collections.foundation.testbed.plugins.module_utils.agent.paths import UNDO, VOLATILE_UNDO
from ansible_collections.foundation.testbed.plugins.module_utils.agent.problems import Problems


class UndoJournal:
    """Records of applied faults, one file each."""

    def __init__(self, folder: Path = UNDO, volatile: Path = VOLATILE_UNDO):
        self.folder, self.volatile = folder, volatile

    def add(
        self,
        run: str,
        fault: str,
        kind: str,
        undo: dict[str, Any],
        until_wall_ns: Optional[int] = None,
    ) -> None:
        """Write down how to take a fault back, before it is applied."""
        durable = fault_class(kind).survives_reboot
        folder = self.folder if durable else self.volatile
        folder.mkdir(parents=True, exist_ok=True)
        entry = {
            "run": run,
            "fault": fault,
            "type": kind,
            "undo": undo,
            "since_wall_ns": time.time_ns(),
            "until_wall_ns": until_wall_ns,
        }
        write_json(folder / f"{run}.{fault}.json", entry, durable=durable)

    def remove(self, run: str, fault: str) -> None:
        """Forget a fault that has been taken back."""
        for folder in (self.folder, self.volatile):
            (folder / f"{run}.{fault}.json").unlink(missing_ok=True)

    def entries(self, run: Optional[str] = None) -> list[dict[str, Any]]:
        """What is still to be taken back, of one run or of all; what lies on the disk, last."""
        pattern = "*.json" if run is None else f"{glob.escape(run)}.*.json"
        found = [entry for folder in (self.volatile, self.folder) for entry in read_all(folder, pattern)]
        return [entry for entry in found if run is None or entry["run"] == run]

    def revert(self, run: Optional[str] = None) -> list[str]:
        """Take back every entry; returns the ids of the faults that were taken back.

        One that cannot be taken back stays in the journal and stops no other; raises RuntimeError at the end.
        """
        done, problems = [], Problems()
        for entry in self.entries(run):
            with problems.of(f"{entry['fault']} of the run {entry['run']}"):
                done.append(self._revert(entry))
        problems.raise_any("not taken back: ")
        return done

    def revert_one(self, run: str, fault: str) -> None:
        """Take back one fault if it is in the journal."""
        for entry in self.entries(run):
            if entry["fault"] == fault:
                self._revert(entry)

    def _revert(self, entry: dict[str, Any]) -> str:
        fault_class(entry["type"]).revert(entry["undo"])
        self.remove(entry["run"], entry["fault"])
        return str(entry["fault"])
