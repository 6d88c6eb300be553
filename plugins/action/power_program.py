# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of `foundation.testbed.power_program`."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from ansible.plugins.action import ActionBase
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError
from ansible_collections.foundation.testbed.plugins.module_utils.lab.desk import records_of
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switches import without_password
from ansible_collections.foundation.testbed.plugins.plugin_utils.agent_archive import power_archive
from ansible_collections.foundation.testbed.plugins.plugin_utils.hypervisor_desk import (
    HEAL_S,
    desk_of,
    hypervisor_of,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.power_switches import switch_said
from ansible_collections.foundation.testbed.plugins.plugin_utils.provider_faults import STATE_DIR, lab_of

# Seconds for which one connection waits for a program's end, and until a broken one is tried again.
SLICE_S, RETRY_S = 30.0, 2.0


def power_faults(plan):
    """Return what a plan wants of the provider, one entry for each fault and node."""
    return [
        {**{key: fault[key] for key in ("id", "type", "start_s", "end_s")}, "node": node, **program}
        for fault in plan["faults"]
        for node, program in fault.get("power", {}).items()
    ]


def switches_of(faults, hostvars):
    """Return what the inventory knows of the switch of each node in faults, passwords apart."""
    found = []
    for node in sorted({fault["node"] for fault in faults} & set(hostvars)):
        said, password = without_password(switch_said(hostvars[node]))
        found.append({"node": node, "said": said, **({"password": password} if password else {})})
    return found


class ActionModule(ActionBase):
    """Packs the power program, and hands over what the inventory knows of the nodes' switches.

    Where a hypervisor elsewhere has the nodes, the program runs there, and its ledgers are brought home.
    """

    TRANSFERS_FILES = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        args = dict(self._task.args)
        if "plan" in args:
            args["faults"] = power_faults(args.pop("plan"))
            if not args["faults"]:
                return {**result, "changed": False, "msg": "the plan wants nothing of the provider"}
        present = args.get("state", "present") == "present"
        if present:
            args["switches"] = switches_of(args.get("faults") or [], task_vars["hostvars"])
        hypervisor = hypervisor_of(task_vars["groups"])
        if hypervisor:
            return {**result, **elsewhere(args, hypervisor, task_vars, self._task.check_mode)}
        if not present or self._task.check_mode:
            return {**result, **self._execute_module(module_args=args, task_vars=task_vars)}
        with tempfile.NamedTemporaryFile(suffix=".pyz") as packed:
            packed.write(power_archive())
            packed.flush()
            folder = self._make_tmp_path()
            args["archive"] = self._transfer_file(packed.name, str(Path(folder) / "power.pyz"))
            return {**result, **self._execute_module(module_args=args, task_vars=task_vars)}


def elsewhere(args, hypervisor, task_vars, check_mode):
    """Do on a hypervisor elsewhere what the module does on this machine."""
    lab = lab_of(args["testbed_id"], {"testbed_state_dir": args.get("state_dir") or STATE_DIR})
    try:
        desk = desk_of(lab, task_vars["hostvars"], hypervisor)
        return ELSEWHERE[args.get("state", "present")](desk, args, check_mode)
    except LabError as error:
        return {"failed": True, "msg": f"{hypervisor}: {error}"}


def _present(desk, args, check_mode):
    if check_mode:
        return {"changed": True}
    job = {
        "run": args["run"],
        "testbed_id": desk.lab.testbed_id,
        "state_dir": str(desk.lab.state_dir),
        "start_wall_ns": int(args["start_wall_ns"]),
        "records": str(records_of(desk.lab, args["run"])),
        "faults": args["faults"],
    }
    desk.ask("start", job=job, switches={one["node"]: one["said"] for one in args["switches"]})
    return {"changed": True}


def _ended(desk, args, check_mode):
    if check_mode:
        return {"changed": False}
    done, why = await_end(desk, args["run"], float(args.get("timeout_s") or 2 * HEAL_S))
    try:
        bring_home(desk, args)
    except LabError as error:  # faults without a ledger are not proved: the verdict says so
        why = str(error)
    return {"changed": False, "ended": done, **({"warnings": [why]} if why else {})}


def await_end(desk, run, wait_s):
    """Wait for a program's end, also through a line that breaks; tells whether it has, and what was wrong."""
    deadline_s = time.monotonic() + wait_s
    why = f"the power program of the run {run} has not come to its end"
    while True:
        slice_s = min(max(deadline_s - time.monotonic(), 0.0), SLICE_S)
        try:
            told = desk.ask("ended", slice_s, run=run, timeout_s=slice_s)
            if told["ended"]:
                return True, None
            if not told["lives"]:
                return False, why
        except LabError as error:
            why = str(error)
            time.sleep(min(slice_s, RETRY_S))
        if time.monotonic() >= deadline_s:
            return False, why


def _absent(desk, args, check_mode):
    told = desk.ask("heal", HEAL_S, run=args.get("run") or "*", check=bool(check_mode))
    if not check_mode and args.get("run"):
        bring_home(desk, args)
    done = {key: told[key] for key in ("stopped", "restored")}
    return {"changed": any(done.values()), **done}


ELSEWHERE = {"present": _present, "ended": _ended, "absent": _absent}


def bring_home(desk, args):
    """Put the ledgers of a run's power program where those of the nodes are."""
    if not args.get("records"):
        return
    for folder, text in desk.ask("ledgers", run=args["run"])["ledgers"].items():
        path = Path(args["records"]) / folder / "ledger.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
