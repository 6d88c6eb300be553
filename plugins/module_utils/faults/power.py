# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Power: a whole node goes down, and comes back. No node does this to itself: its provider does.

What the container provider does is `module_utils/lab/power.py`, on the machine that holds the containers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import Fault, Row, Targets
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import Parameter, choice

ACTIONS = ("crash", "reboot", "off", "panic")
NO_SWITCH = "the testbed has no power switch for nodes of this provider yet"
OWN_KERNEL = "this provider's nodes share the host's kernel: a panic would end the host with all nodes"
_ELSEWHERE = {"vm": NO_SWITCH, "baremetal": NO_SWITCH}


def action(value: object) -> str:
    """Return an action, also `off` where YAML has made it false; raises ValueError."""
    return str(choice(*ACTIONS)("off" if value is False else value))


class Power(Fault):
    """A node whose power is cut by its provider.

    Program: `action`.
    """

    on_node: ClassVar[bool] = False
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "action": Parameter(action, "what becomes of the node", required=True),
    }
    catalogue: ClassVar[Sequence[Row]] = (
        Row(
            "node: crash",
            "action: crash, nodes: [n1]",
            "the link is removed and every process killed at once, from outside; power on at once",
            "processes killed; another boot id; seconds until ssh answers",
            _ELSEWHERE,
        ),
        Row(
            "node: reboot",
            "action: reboot, nodes: [n1]",
            "the node's own systemd is told to reboot",
            "another boot id; seconds until ssh answers",
            _ELSEWHERE,
        ),
        Row(
            "node: off",
            "action: off, for: 20s, nodes: [n1]",
            "as a crash; power on at the end",
            "no process of the node; no answer; another boot id after; seconds until ssh answers",
            _ELSEWHERE,
        ),
        Row(
            "node: kernel panic",
            "action: panic, nodes: [n1]",
            "sysrq",
            "another boot id",
            {"container": OWN_KERNEL, **_ELSEWHERE},
        ),
        Row(
            "node: random by seed, at an interval",
            "action: off, nodes: {random: 1}, every: 10s, count: 3, max_down: 2",
            "as each of them",
            "as each of them",
            _ELSEWHERE,
        ),
    )

    @staticmethod
    def takes_down(params: Mapping[str, Any]) -> bool:
        """A node without power is down, however short."""
        return True

    @staticmethod
    def plan(params: dict[str, Any], targets: Targets) -> dict[str, dict[str, Any]]:
        """Every chosen node's part, for its provider; raises ValueError where that cannot."""
        wanted, able = params["action"], ("crash", "off", "reboot")
        if targets.conditional:
            raise ValueError(
                "nodes: given a state of the system; allowed: names, random, as no node asks itself"
            )
        for name in targets.chosen:
            provider = targets.cluster.provider.get(name, "baremetal")
            if provider != "container":
                raise ValueError(
                    f"action: given {wanted!r} for {name} of the provider {provider}; allowed: nothing, as "
                    f"{NO_SWITCH}"
                )
            if wanted not in able:
                raise ValueError(
                    f"action: given {wanted!r} for {name}; allowed: {', '.join(able)}; {OWN_KERNEL}"
                )
        return {name: {"action": wanted} for name in targets.chosen}


FAULT = Power
