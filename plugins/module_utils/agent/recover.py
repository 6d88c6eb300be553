# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Taking back what a dead agent left: at the end of its unit, and at boot."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.agent.clock import RunClock
from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import read_json
from ansible_collections.foundation.testbed.plugins.module_utils.agent.ledger import Ledger
from ansible_collections.foundation.testbed.plugins.module_utils.agent.paths import RUNS, run_dir
from ansible_collections.foundation.testbed.plugins.module_utils.agent.undo import UndoJournal
from ansible_collections.foundation.testbed.plugins.module_utils.agent.unit import plan_end_s, unit_command


def read_program(folder: Path) -> dict[str, Any]:
    """Return what was staged in a run's folder; raises OSError or ValueError."""
    return dict(json.loads((folder / "program.json").read_text(encoding="utf-8")))


def ledger_of(folder: Path, program: dict[str, Any]) -> Ledger:
    """Return the ledger of a run that is staged in a folder."""
    return Ledger(folder / "ledger.jsonl", program["node"], RunClock(program["start_wall_ns"]))


def revert_run(run: str) -> None:
    """Take back what a run left in the journal, and say so in its ledger; raises RuntimeError."""
    left = {entry["fault"]: entry["type"] for entry in UndoJournal().entries(run)}
    if not left:
        return
    try:
        UndoJournal().revert(run)
    finally:
        still = {entry["fault"] for entry in UndoJournal().entries(run)}
        ledger = ledger_of(run_dir(run), read_program(run_dir(run)))
        for fault, kind in left.items():
            ledger.write(
                "error" if fault in still else "reverted", fault, kind, message="its agent had ended"
            )


def unfinished_runs(runs: Path = RUNS) -> list[Path]:
    """Folders of runs whose plan goes on and whose agent has not come to its end."""
    found = []
    for folder in sorted(path.parent for path in runs.glob("*/program.json")):
        program = read_program(folder)
        armed = (read_json(folder / "armed.json") or {}).get("armed", False)
        ended = (folder / "done.json").exists()
        if armed and not ended and RunClock(program["start_wall_ns"]).now_s() < plan_end_s(program):
            found.append(folder)
    return found


def recover() -> None:
    """After a boot: take back what survived it, then go on with the plans that have not ended."""
    for run in sorted({entry["run"] for entry in UndoJournal().entries()}):
        revert_run(run)
    for folder in unfinished_runs():
        subprocess.run(unit_command(read_program(folder), resumed=True), check=True, timeout=20)
