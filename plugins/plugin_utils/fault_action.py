# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller's side of every module that breaks nodes, one by one or ad hoc.

What the user says is checked as a condition of a scenario is, every host's part is computed as in a plan, and
`foundation.testbed.fault` on the node begins it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import ClusterView, Targets
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import not_allowed
from ansible_collections.foundation.testbed.plugins.plugin_utils.cluster_view import loose_view
from ansible_collections.foundation.testbed.plugins.plugin_utils.conditions import Condition
from ansible_collections.foundation.testbed.plugins.plugin_utils.exit_status import ExitStatus
from ansible_collections.foundation.testbed.plugins.plugin_utils.fault_plan import sub_seed
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import (
    InputError,
    joined,
    parse_model,
)

SHARED = ("testbed_id", "state", "for", "id", "seed")


def own_program(
    kind: str, args: Mapping[str, Any], host: str, chosen: list[str], cluster: ClusterView
) -> tuple[Condition, dict[str, Any] | None]:
    """Return the checked condition, and what this host has to do: None when it has no part in it.

    `chosen` are the nodes that the task runs on. Raises InputError.
    """
    source = f"foundation.testbed.{kind}"
    if host not in cluster.nodes:
        raise InputError([f"{source}: hosts: {not_allowed(host, cluster.nodes)}"])
    said = {key: value for key, value in args.items() if key not in SHARED}
    times = {"at": "0s", **({"for": args["for"]} if "for" in args else {})}
    condition = parse_model(Condition, {"type": kind, **times, **said}, source)
    fault_id = str(args.get("id") or kind)
    draw = random.Random(sub_seed(int(args.get("seed", 1)), f"fault/{fault_id}"))
    try:
        programs = condition.kind.plan(condition.params, Targets(chosen, cluster, draw))
    except ValueError as error:
        raise InputError([f"{source}: {joined('', str(error))}"]) from None
    return condition, programs.get(host)


class FaultAction(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """Begins or takes back one fault on one host; a kind's own action only names itself."""

    kind: str

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        """Check, compute the host's part, and hand it to the node."""
        result = super().run(tmp, task_vars)
        args = dict(self._task.args)
        state = args.get("state", "present")
        common = {
            "testbed_id": args.get("testbed_id", task_vars.get("testbed_id")),
            "id": str(args.get("id") or self.kind),
            "type": self.kind,
        }
        try:
            if state not in ("present", "absent"):
                text = not_allowed(state, ("present", "absent"))
                raise InputError([f"foundation.testbed.{self.kind}: state: {text}"])
            if state == "absent":
                return {**result, **self.take_back(common, task_vars)}
            cluster = loose_view(task_vars)
            host = task_vars["inventory_hostname"]
            chosen = [name for name in cluster.nodes if name in task_vars["ansible_play_hosts"]]
            condition, program = own_program(self.kind, args, host, chosen, cluster)
        except InputError as error:
            return {**result, "failed": True, "msg": str(error), "testbed_exit": int(ExitStatus.BAD_INPUT)}
        if program is None:
            return {**result, "changed": False, "msg": f"{host} has no part in it"}
        return {**result, **self.begin(common, condition.for_, program, task_vars)}

    def begin(self, common: dict[str, Any], for_s: float, program: dict[str, Any], task_vars: Any) -> Any:
        """Begin it on the node."""
        return self._execute_module(
            module_name="foundation.testbed.fault",
            module_args={**common, "state": "present", "for_s": for_s, "program": program},
            task_vars=task_vars,
        )

    def take_back(self, common: dict[str, Any], task_vars: Any) -> Any:
        """Take it back on the node."""
        return self._execute_module(
            module_name="foundation.testbed.fault",
            module_args={**common, "state": "absent"},
            task_vars=task_vars,
        )
