# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller's side of every module that breaks nodes, one by one or ad hoc.

What the user says is checked as a condition of a scenario is, every host's part is computed as in a plan, and
`foundation.testbed.fault` on the node begins it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import (
    ClusterView,
    Fault,
    Targets,
    fault_class,
    fault_id,
)
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import (
    Parser,
    choice,
    not_allowed,
    whole,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.cluster_view import loose_view
from ansible_collections.foundation.testbed.plugins.plugin_utils.conditions import Condition
from ansible_collections.foundation.testbed.plugins.plugin_utils.exit_status import ExitStatus
from ansible_collections.foundation.testbed.plugins.plugin_utils.fault_plan import at_most
from ansible_collections.foundation.testbed.plugins.plugin_utils.seeds import sub_seed
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import (
    InputError,
    joined,
    parse_model,
    told,
)

SHARED = ("testbed_id", "state", "for", "id", "seed")
# Also where a kind may take nodes down.
MAX_DOWN = "max_down"


@dataclass(frozen=True)
class Said:
    """What the user says of one fault, apart from what its kind is told."""

    state: str
    id: str
    seed: int
    max_down: int | None


def read_said(kind: str, args: Mapping[str, Any]) -> Said:
    """Check the keys and what all kinds share; raises InputError with one line."""
    source = f"foundation.testbed.{kind}"
    known = allowed_keys(fault_class(kind))
    for key in args:
        if key not in known:
            raise InputError([f"{source}: {key}: unknown key; {not_allowed(key, known)}"])
    return Said(
        _parsed(source, "state", choice("present", "absent"), args.get("state", "present")),
        _parsed(source, "id", fault_id, args["id"]) if args.get("id") is not None else kind,
        _parsed(source, "seed", _seed, args.get("seed", 1)),
        None if args.get(MAX_DOWN) is None else _parsed(source, MAX_DOWN, whole(0, 10000), args[MAX_DOWN]),
    )


def allowed_keys(kind: type[Fault]) -> list[str]:
    """Every key that a module of a kind takes; a condition's others mean nothing for one fault, at once."""
    takes_down = kind.takes_down is not Fault.takes_down
    return [*SHARED, *([MAX_DOWN] if takes_down else []), *kind.parameters]


def _parsed(source: str, key: str, parse: Parser, value: Any) -> Any:
    try:
        return parse(value)
    except ValueError as error:
        raise InputError([f"{source}: {key}: {error}"]) from None


def _seed(value: object) -> int:
    """Return a seed exactly, also one with more digits than a float holds."""
    seed: int = whole(0, 2**63)(value)
    return int(str(value)) if str(value).isdecimal() else seed


def own_program(
    kind: str, args: Mapping[str, Any], host: str, chosen: list[str], cluster: ClusterView
) -> tuple[Condition, dict[str, Any] | None]:
    """Return the checked condition, and what this host has to do: None when it has no part in it.

    `chosen` are the nodes that the task runs on. Raises InputError.
    """
    source = f"foundation.testbed.{kind}"
    if host not in cluster.nodes:
        raise InputError([f"{source}: hosts: {not_allowed(host, cluster.nodes)}"])
    said = read_said(kind, args)
    params = {key: value for key, value in args.items() if key not in (*SHARED, MAX_DOWN)}
    times = {"at": "0s", **({"for": args["for"]} if "for" in args else {})}
    condition = parse_model(Condition, {"type": kind, **times, **params}, source)
    draw = random.Random(sub_seed(said.seed, f"fault/{said.id}"))
    try:
        programs = condition.kind.plan(condition.params, Targets(chosen, cluster, draw))
        if condition.kind.takes_down(condition.params):
            at_most(cluster.max_down if said.max_down is None else said.max_down, programs, "hosts")
    except ValueError as error:
        raise InputError([f"{source}: {joined('', problem)}" for problem in told(error)]) from None
    return condition, programs.get(host)


class FaultAction(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """Begins or takes back one fault on one host; a kind's own action only names itself."""

    kind: str

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        """Check, compute the host's part, and hand it to the node."""
        result = super().run(tmp, task_vars)
        args = dict(self._task.args)
        try:
            said = read_said(self.kind, args)
            common = {
                "testbed_id": args.get("testbed_id", task_vars.get("testbed_id")),
                "id": said.id,
                "type": self.kind,
            }
            if said.state == "absent":
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
