# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Taking back what a dead agent left: at the end of its unit, and at boot."""

from __future__ import annotations

import contextlib
import json
import subprocess
from pathlib import Path
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.agent.clock import RunClock
from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import Lines, read_json
from ansible_collections.foundation.testbed.plugins.module_utils.agent.ledger import Ledger
from ansible_collections.foundation.testbed.plugins.module_utils.agent.paths import RUNS, run_dir
from ansible_collections.foundation.testbed.plugins.module_utils.agent.problems import Problems
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
        with contextlib.suppress(OSError, ValueError, KeyError):  # the run's folder is gone, or torn
            ledger = ledger_of(run_dir(run), read_program(run_dir(run)))
            for fault, kind in left.items():
                event = "error" if fault in still else "reverted"
                ledger.write(event, fault, kind, message="its agent had ended")


def goes_on(folder: Path) -> bool:
    """Whether a run's plan goes on and its agent has not come to its end; raises OSError or ValueError."""
    armed = (read_json(folder / "armed.json") or {}).get("armed", False)
    if not armed or (folder / "done.json").exists():
        return False
    program = read_program(folder)
    return RunClock(program["start_wall_ns"]).now_s() < plan_end_s(program)


def recover(runs: Path = RUNS) -> None:
    """After a boot: take back what survived it, then go on with the plans that have not ended.

    No run stops another; raises RuntimeError at the end.
    """
    problems = Problems()
    folders = sorted(path.parent for path in runs.glob("*/program.json"))
    for folder in folders:
        for name in ("ledger.jsonl", "samples.jsonl"):
            with problems.of(f"{name} of {folder.name}"):
                Lines(folder / name).mend()
    for run in sorted({entry["run"] for entry in UndoJournal().entries()}):
        with problems.of(run):
            revert_run(run)
    for folder in folders:
        with problems.of(folder.name):
            if goes_on(folder):
                subprocess.run(unit_command(read_program(folder), resumed=True), check=True, timeout=20)
    problems.raise_any()
