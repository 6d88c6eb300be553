# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of `foundation.testbed.power_program`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ansible.plugins.action import ActionBase
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switches import without_password
from ansible_collections.foundation.testbed.plugins.plugin_utils.agent_archive import power_archive
from ansible_collections.foundation.testbed.plugins.plugin_utils.power_switches import switch_said


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
    """Packs the power program, and hands over what the inventory knows of the nodes' switches."""

    TRANSFERS_FILES = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        args = dict(self._task.args)
        if "plan" in args:
            args["faults"] = power_faults(args.pop("plan"))
            if not args["faults"]:
                return {**result, "changed": False, "msg": "the plan wants nothing of the provider"}
        if args.get("state", "present") != "present":
            return {**result, **self._execute_module(module_args=args, task_vars=task_vars)}
        args["switches"] = switches_of(args.get("faults") or [], task_vars["hostvars"])
        if self._task.check_mode:
            return {**result, **self._execute_module(module_args=args, task_vars=task_vars)}
        with tempfile.NamedTemporaryFile(suffix=".pyz") as packed:
            packed.write(power_archive())
            packed.flush()
            folder = self._make_tmp_path()
            args["archive"] = self._transfer_file(packed.name, str(Path(folder) / "power.pyz"))
            return {**result, **self._execute_module(module_args=args, task_vars=task_vars)}
