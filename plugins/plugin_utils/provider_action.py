# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller's side of faults that a node's provider does to it, which is all of it."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.lab import power
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError, wait_until
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths
from ansible_collections.foundation.testbed.plugins.module_utils.lab.provider_fault import power_dir, works
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switch import Switch
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switches import switch_of
from ansible_collections.foundation.testbed.plugins.plugin_utils.agent_archive import power_archive
from ansible_collections.foundation.testbed.plugins.plugin_utils.exit_status import ExitStatus
from ansible_collections.foundation.testbed.plugins.plugin_utils.fault_action import FaultAction
from ansible_collections.foundation.testbed.plugins.plugin_utils.power_switches import switch_said, unknown
from ansible_collections.foundation.testbed.plugins.plugin_utils.provider_faults import iso, lab_of

# Seconds for the program to start before it looks at the node; for its first evidence, times the patience.
AHEAD_S, EVIDENCE_S = 0.5, 45.0

Answer = dict[str, Any]


def active(lab: LabPaths, prefix: str) -> str | None:
    """Return the run of an ad hoc fault of this name that goes on, or None."""
    folders = power_dir(lab).glob(f"{prefix}-*")
    names = [folder.name for folder in folders if folder.name.rpartition("-")[0] == prefix and works(folder)]
    return names[0] if names else None


def first_entries(path: Path) -> Answer:
    """Return the first entry of each event in a ledger."""
    entries: Answer = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        entry = json.loads(line)
        entries.setdefault(entry["event"], entry)
    return entries


class ProviderAction(FaultAction):
    """Begins or takes back one fault from this machine, by the node's provider; a kind only names itself."""

    def begin(self, common: Answer, for_s: float, program: Answer, task_vars: Any) -> Answer:
        """Start a power program for this one fault; one of the same name that goes on is left alone."""
        lab, node, prefix = self._where(common, task_vars)
        problems = unknown([node], task_vars["hostvars"])
        if problems:
            return {"failed": True, "msg": problems[0], "testbed_exit": int(ExitStatus.BAD_INPUT)}
        said = switch_said(task_vars["hostvars"][node])
        try:
            switch = switch_of(lab, node, said)
        except LabError as error:
            return {"failed": True, "msg": str(error)}
        records = lab.home / "power-records"
        run = active(lab, prefix)
        if run is not None:
            return self._again(lab, run, program)
        if self._task.check_mode:
            return {"changed": True}
        run = f"{prefix}-{time.time_ns() // 10**6}"
        fault = {**common, "node": node, "start_s": 0.0, "end_s": for_s, **program}
        job = {
            "run": run,
            "testbed_id": lab.testbed_id,
            "state_dir": str(lab.state_dir),
            "start_wall_ns": time.time_ns() + int((AHEAD_S + switch.check_ahead_s) * 1e9),
            "records": str(records / run),
            "faults": [fault],
        }
        try:
            power.start(lab, job, {node: said}, power_archive(), sys.executable)
        except LabError as error:
            return {"failed": True, "msg": str(error)}
        ledger = records / run / f"power-{node}" / "ledger.jsonl"
        return {"run": run, "until": until(job), **self._outcome(ledger, min(for_s, 1.0), switch)}

    def _outcome(self, ledger: Path, for_s: float, switch: Switch) -> Answer:
        def told() -> Answer | None:
            entries = first_entries(ledger)
            refused = entries.get("check", {}).get("able") is False
            return entries if refused or {"error", "evidence"} & set(entries) else None

        ahead_s = AHEAD_S + switch.check_ahead_s
        entries = wait_until(told, ahead_s + for_s + EVIDENCE_S * switch.patience, 0.1) or {}
        if "evidence" in entries:
            hidden = ("wall_ns", "mono_ns", "event")
            shown = {key: value for key, value in entries["evidence"].items() if key not in hidden}
            return {"changed": True, "evidence": shown}
        reasons = entries.get("check", {}).get("reasons") or [
            entries.get("error", {}).get("message", "the power program says nothing")
        ]
        return {"failed": True, "changed": True, "msg": f"the fault is not in place: {'; '.join(reasons)}"}

    def _again(self, lab: LabPaths, run: str, program: Answer) -> Answer:
        job = json.loads((power_dir(lab) / run / "job.json").read_text(encoding="utf-8"))
        if not program.items() <= job["faults"][0].items():
            return {
                "failed": True,
                "msg": f"id: given {job['faults'][0]['id']!r}, the name of another fault that is active; "
                "allowed: another name, or state=absent first",
            }
        return {"changed": False, "run": run, "until": until(job)}

    def take_back(self, common: Answer, task_vars: Any) -> Answer:
        """Take back what a fault of this name has done to the node."""
        lab, _node, prefix = self._where(common, task_vars)
        run = active(lab, prefix)
        if run is None:
            return {"changed": False}
        try:
            done = power.to_heal(lab, run) if self._task.check_mode else power.heal(lab, run)
        except LabError as error:
            return {"failed": True, "msg": str(error)}
        return {"changed": True, **done}

    @staticmethod
    def _where(common: Answer, task_vars: Any) -> tuple[LabPaths, str, str]:
        node = task_vars["inventory_hostname"]
        return lab_of(common["testbed_id"], task_vars), node, f"adhoc-{common['id']}-{node}"


def until(job: Answer) -> str:
    """Return when a job's fault ends, as people read it."""
    return iso(job["start_wall_ns"] / 1e9 + job["faults"][0]["end_s"])
