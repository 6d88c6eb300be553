# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the controller asks of a lab's power programs, on the machine that has them.

Where that is the controller's own machine it calls `answer`; else `python3 power.pyz ask` reads one question
as JSON from its standard input, over ssh, and prints the answer.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any, Callable

from ansible_collections.foundation.testbed.plugins.module_utils.lab import power
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError, wait_until
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths
from ansible_collections.foundation.testbed.plugins.module_utils.lab.provider_fault import (
    active_faults,
    living_runs,
    power_dir,
    works,
)
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switch import Record

Archive = Callable[[], bytes]


def answer(question: Record, archive: Archive) -> Record:
    """Answer one question; `archive` returns the program, to be started. Raises LabError."""
    lab = LabPaths(Path(question["state_dir"]), question["testbed_id"])
    return QUESTIONS[question["ask"]](lab, question, archive)


def records_of(lab: LabPaths, run: str) -> Path:
    """Folder of the ledgers of a run's power program, where they are not at once in the run's own folder."""
    return lab.home / "power-records" / run


def _living(lab: LabPaths, _question: Record, _archive: Archive) -> Record:
    return {"runs": living_runs(lab)}


def _faults(lab: LabPaths, question: Record, _archive: Archive) -> Record:
    return {"faults": list(active_faults(lab, question["node"]))}


def _ad_hoc(lab: LabPaths, question: Record, _archive: Archive) -> Record:
    """Return the job of an ad hoc fault of this name that goes on, or None."""
    prefix = question["prefix"]
    for folder in sorted(power_dir(lab).glob(f"{prefix}-*")):
        if folder.name.rpartition("-")[0] == prefix and works(folder):
            return {"job": json.loads((folder / "job.json").read_text(encoding="utf-8"))}
    return {"job": None}


def _start(lab: LabPaths, question: Record, archive: Archive) -> Record:
    """Start a program; its job says when, or, by `ahead_s`, so many seconds from now on this machine."""
    job = dict(question["job"])
    if "ahead_s" in job:
        job["start_wall_ns"] = time.time_ns() + int(job.pop("ahead_s") * 1e9)
    power.start(lab, job, question["switches"], archive(), sys.executable)
    return {"job": job}


def _outcome(lab: LabPaths, question: Record, _archive: Archive) -> Record:
    """Wait until a fault is proved or refused; returns the first entry of each event in its ledger."""
    ledger = records_of(lab, question["run"]) / f"power-{question['node']}" / "ledger.jsonl"

    def told() -> Record:
        entries = first_entries(ledger)
        refused = entries.get("check", {}).get("able") is False
        return entries if refused or {"error", "evidence"} & set(entries) else {}

    return {"entries": wait_until(told, question["timeout_s"], 0.1) or {}}


def first_entries(path: Path) -> Record:
    """Return the first entry of each event in a ledger."""
    entries: Record = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        entry = json.loads(line)
        entries.setdefault(entry["event"], entry)
    return entries


def _ended(lab: LabPaths, question: Record, _archive: Archive) -> Record:
    """Wait for the end of a run's program; says whether it lives where it has not ended."""
    done = power.await_end(lab, question["run"], question["timeout_s"])
    return {"ended": done, "lives": not done and works(power_dir(lab) / question["run"])}


def _heal(lab: LabPaths, question: Record, _archive: Archive) -> Record:
    act = power.to_heal if question["check"] else power.heal
    return dict(act(lab, question["run"]))


def _ledgers(lab: LabPaths, question: Record, _archive: Archive) -> Record:
    """Return the text of each ledger of a run's power program, by its folder's name."""
    found = sorted(records_of(lab, question["run"]).glob("power-*/ledger.jsonl"))
    return {"ledgers": {path.parent.name: path.read_text(encoding="utf-8") for path in found}}


QUESTIONS: dict[str, Callable[[LabPaths, Record, Archive], Record]] = {
    "living": _living,
    "faults": _faults,
    "ad_hoc": _ad_hoc,
    "start": _start,
    "outcome": _outcome,
    "ended": _ended,
    "heal": _heal,
    "ledgers": _ledgers,
}


def main(arguments: list[str]) -> int:
    """Answer the question on standard input, or be the power program of a folder; returns the exit status."""
    if arguments != ["ask"]:
        return power.main(arguments)
    question: Any = json.load(sys.stdin)
    heard_ns = time.time_ns()
    try:
        told = answer(question, Path(sys.argv[0]).read_bytes)
    except LabError as error:
        told = {"error": str(error)}
    json.dump({**told, "heard_ns": heard_ns}, sys.stdout)
    return 0
