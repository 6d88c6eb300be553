# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of `foundation.testbed.fault_info`: adds what the node's provider does to it."""

from __future__ import annotations

from ansible.plugins.action import ActionBase
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError
from ansible_collections.foundation.testbed.plugins.plugin_utils.hypervisor_desk import desk_of
from ansible_collections.foundation.testbed.plugins.plugin_utils.provider_faults import (
    lab_of,
    listed,
    unreachable,
)


class ActionModule(ActionBase):
    """Asks the node, unless it is off or its disk fails, and the provider's journals where its nodes are."""

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        args = dict(self._task.args)
        lab = lab_of(str(args.get("testbed_id", "")), task_vars)
        node, hostvars = task_vars["inventory_hostname"], task_vars["hostvars"]
        try:
            desk = desk_of(lab, hostvars, hostvars[node].get("testbed_hypervisor_host"))
            faults = listed(desk.ask("faults", node=node)["faults"])
        except LabError as error:
            return {**result, "failed": True, "msg": str(error)}
        if unreachable(faults):
            return {**result, "changed": False, "faults": faults}
        result.update(self._execute_module(module_args=args, task_vars=task_vars))
        if "faults" in result:
            result["faults"] = [*result["faults"], *faults]
        return result
