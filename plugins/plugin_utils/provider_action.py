# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller's side of faults that a node's provider does to it, which is all of it."""

from __future__ import annotations

import time
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError
from ansible_collections.foundation.testbed.plugins.module_utils.lab.desk import records_of
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switch import Switch
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switches import switch_of
from ansible_collections.foundation.testbed.plugins.plugin_utils.exit_status import ExitStatus
from ansible_collections.foundation.testbed.plugins.plugin_utils.fault_action import FaultAction
from ansible_collections.foundation.testbed.plugins.plugin_utils.hypervisor_desk import HEAL_S, Desk, desk_of
from ansible_collections.foundation.testbed.plugins.plugin_utils.power_switches import switch_said, unknown
from ansible_collections.foundation.testbed.plugins.plugin_utils.provider_faults import iso, lab_of

# Seconds for the program to start before it looks at the node; for its first evidence, times the patience.
AHEAD_S, EVIDENCE_S = 0.5, 45.0

Answer = dict[str, Any]


class ProviderAction(FaultAction):
    """Begins or takes back one fault by the node's provider, where its nodes are; a kind names itself."""

    def begin(self, common: Answer, for_s: float, program: Answer, task_vars: Any) -> Answer:
        """Start a power program for this one fault; one of the same name that goes on is left alone."""
        desk, node, prefix = self._where(common, task_vars)
        problems = unknown([node], task_vars["hostvars"])
        if problems:
            return {"failed": True, "msg": problems[0], "testbed_exit": int(ExitStatus.BAD_INPUT)}
        said = switch_said(task_vars["hostvars"][node])
        try:
            switch = switch_of(desk.lab, node, said)
            job = desk.ask("ad_hoc", prefix=prefix)["job"]
            if job is not None:
                return self._again(job, program)
            if self._task.check_mode:
                return {"changed": True}
            fault = {**common, "node": node, "start_s": 0.0, "end_s": for_s, **program}
            job = self._start(desk, f"{prefix}-{time.time_ns() // 10**6}", fault, switch)
            outcome = self._outcome(desk, job, min(for_s, 1.0), switch)
        except LabError as error:
            return {"failed": True, "msg": str(error)}
        return {"run": job["run"], "until": until(job), **outcome}

    @staticmethod
    def _start(desk: Desk, run: str, fault: Answer, switch: Switch) -> Answer:
        """Start the program of a fault; returns its job, whose start is on the clock of where it runs."""
        job = {
            "run": run,
            "testbed_id": desk.lab.testbed_id,
            "state_dir": str(desk.lab.state_dir),
            "ahead_s": AHEAD_S + switch.check_ahead_s,
            "records": str(records_of(desk.lab, run)),
            "faults": [fault],
        }
        return dict(desk.ask("start", job=job, switches={switch.name: switch.said})["job"])

    @staticmethod
    def _outcome(desk: Desk, job: Answer, for_s: float, switch: Switch) -> Answer:
        wait_s = AHEAD_S + switch.check_ahead_s + for_s + EVIDENCE_S * switch.patience
        asked = {"run": job["run"], "node": switch.name, "timeout_s": wait_s}
        entries = desk.ask("outcome", wait_s, **asked)["entries"]
        if "evidence" in entries:
            hidden = ("wall_ns", "mono_ns", "event")
            shown = {key: value for key, value in entries["evidence"].items() if key not in hidden}
            return {"changed": True, "evidence": shown}
        reasons = entries.get("check", {}).get("reasons") or [
            entries.get("error", {}).get("message", "the power program says nothing")
        ]
        return {"failed": True, "changed": True, "msg": f"the fault is not in place: {'; '.join(reasons)}"}

    @staticmethod
    def _again(job: Answer, program: Answer) -> Answer:
        if not program.items() <= job["faults"][0].items():
            return {
                "failed": True,
                "msg": f"id: given {job['faults'][0]['id']!r}, the name of another fault that is active; "
                "allowed: another name, or state=absent first",
            }
        return {"changed": False, "run": job["run"], "until": until(job)}

    def take_back(self, common: Answer, task_vars: Any) -> Answer:
        """Take back what a fault of this name has done to the node."""
        desk, _node, prefix = self._where(common, task_vars)
        try:
            job = desk.ask("ad_hoc", prefix=prefix)["job"]
            if job is None:
                return {"changed": False}
            done = desk.ask("heal", HEAL_S, run=job["run"], check=bool(self._task.check_mode))
        except LabError as error:
            return {"failed": True, "msg": str(error)}
        return {"changed": True, **{key: done[key] for key in ("stopped", "restored")}}

    @staticmethod
    def _where(common: Answer, task_vars: Any) -> tuple[Desk, str, str]:
        node, hostvars = task_vars["inventory_hostname"], task_vars["hostvars"]
        hypervisor = hostvars[node].get("testbed_hypervisor_host")
        desk = desk_of(lab_of(common["testbed_id"], task_vars), hostvars, hypervisor)
        return desk, node, f"adhoc-{common['id']}-{node}"


def until(job: Answer) -> str:
    """Return when a job's fault ends, as people read it."""
    return iso(job["start_wall_ns"] / 1e9 + job["faults"][0]["end_s"])
