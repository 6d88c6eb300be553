# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of `foundation.testbed.admit`."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from ansible.plugins.action import ActionBase
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError
from ansible_collections.foundation.testbed.plugins.plugin_utils import (
    admission,
    main_process,
    run_folder,
    steady_state,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.compiler import node_programs
from ansible_collections.foundation.testbed.plugins.plugin_utils.conclude import conclude
from ansible_collections.foundation.testbed.plugins.plugin_utils.exit_status import ExitStatus
from ansible_collections.foundation.testbed.plugins.plugin_utils.hypervisor_desk import (
    desk_of,
    hypervisor_of,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.provider_faults import lab_of


class ActionModule(ActionBase):
    """Starts a run, or refuses it with the verdict `unknown` and every reason."""

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            {
                "folder": {"type": "path", "required": True},
                "plan": {"type": "dict", "required": True},
                "systems": {"type": "dict", "required": True},
                "answers": {"type": "dict", "required": True},
                "states": {"type": "dict", "default": {}},
                "asked_wall_ns": {"type": "int"},
            }
        )
        folder, plan = Path(options["folder"]), options["plan"]
        record = run_folder.update(folder)
        asked_ns = options["asked_wall_ns"] or (
            record["began_wall_ns"] + int(record["steps"][-1]["started_s"] * 1e9)
        )
        offsets = admission.clock_offsets_ms(options["answers"], asked_ns, time.time_ns())
        verdict = admission.admit(options["answers"], offsets)
        refuse_busy_provider(verdict, plan, task_vars)
        running = [
            name for name, systems in options["systems"].items() if plan["scenario"]["system"] in systems
        ]
        steady = steady_state.judged(plan.get("steady_state") or [], running, options["states"])
        run_folder.update(folder, steady_state={"before": steady} if steady else {})
        admission.refuse_unsteady(verdict, steady)
        if main_process.interrupted():
            verdict.refuse(admission.BEFORE_THE_START, ExitStatus.VERDICT_UNKNOWN)
        run_folder.mark_step(folder, "stage")
        if verdict.reasons:
            run_folder.update(folder, refused={"reasons": verdict.reasons, "status": int(verdict.status)})
            return {**result, **conclude(folder, preflight=verdict.reasons, status=verdict.status)}
        start_wall_ns = admission.start_instant(time.time_ns(), (time.time_ns() - asked_ns) / 1e9)
        versions = {
            host: answer["versions"] for host, answer in options["answers"].items() if answer["versions"]
        }
        run_folder.update(
            folder,
            start_wall_ns=start_wall_ns,
            clock_offset_ms=offsets,
            started_at=datetime.fromtimestamp(start_wall_ns / 1e9, UTC).isoformat(),
            versions={**record["versions"], "system": versions},
        )
        programs = node_programs(plan, folder.name, start_wall_ns, options["systems"])
        return {**result, "changed": False, "programs": programs, "start_wall_ns": start_wall_ns}


def refuse_busy_provider(verdict, plan, task_vars):
    """Refuse where a power program still goes on, or the hypervisor elsewhere cannot be asked, or is late."""
    lab = lab_of(plan["testbed_id"], task_vars)
    try:
        desk = desk_of(lab, task_vars["hostvars"], hypervisor_of(task_vars["groups"]))
        told = desk.ask("living")
    except LabError as error:
        verdict.refuse(str(error), ExitStatus.UNREACHABLE)
        return
    admission.refuse_living(verdict, told["runs"])
    problem = desk.clock_problem(told)
    if problem:
        verdict.refuse(problem, ExitStatus.TESTBED_FAILED)
