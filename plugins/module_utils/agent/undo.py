# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The undo journal: what has to be taken back on this node.

An entry is written before the act and removed after it is undone.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import write_json
from ansible_collections.foundation.testbed.plugins.module_utils.agent.paths import UNDO


def fault_module(kind: str) -> Any:
    """Return the module of a kind of fault: one file in `module_utils/faults`."""
    return importlib.import_module(
        f"ansible_collections.foundation.testbed.plugins.module_utils.faults.{kind}"
    )


class UndoJournal:
    """Records of applied faults, one file each."""

    def __init__(self, folder: Path = UNDO):
        self.folder = folder

    def _path(self, run: str, fault: str) -> Path:
        return self.folder / f"{run}.{fault}.json"

    def add(self, run: str, fault: str, kind: str, record: dict[str, Any]) -> None:
        """Write down how to take a fault back, before it is applied."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(
            self._path(run, fault), {"run": run, "fault": fault, "type": kind, "undo": record}, durable=True
        )

    def remove(self, run: str, fault: str) -> None:
        """Forget a fault that has been taken back."""
        self._path(run, fault).unlink(missing_ok=True)

    def entries(self, run: Optional[str] = None) -> list[dict[str, Any]]:
        """What is still to be taken back, of one run or of all."""
        found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(self.folder.glob("*.json"))]
        return [entry for entry in found if run is None or entry["run"] == run]

    def revert(self, run: Optional[str] = None) -> list[str]:
        """Take back every entry; returns the ids of the faults that were taken back.

        One that cannot be taken back stays in the journal and stops no other; raises RuntimeError at the end.
        """
        done, problems = [], []
        for entry in self.entries(run):
            try:
                done.append(self._revert(entry))
            except Exception as error:
                problems.append(
                    f"{entry['fault']} of the run {entry['run']}: {type(error).__name__}: {error}"
                )
        if problems:
            raise RuntimeError("not taken back: " + "; ".join(problems))
        return done

    def revert_one(self, run: str, fault: str) -> None:
        """Take back one fault if it is in the journal."""
        for entry in self.entries(run):
            if entry["fault"] == fault:
                self._revert(entry)

    def _revert(self, entry: dict[str, Any]) -> str:
        fault_module(entry["type"]).revert(entry["undo"])
        self.remove(entry["run"], entry["fault"])
        return str(entry["fault"])
