# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Power: a whole node goes down, and comes back. No node does this to itself: its provider does.

What the container provider does is `module_utils/lab/power.py`, on the machine that holds the containers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import Fault, Row, Targets
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import (
    Parameter,
    choice,
    flag,
)
from ansible_collections.foundation.testbed.plugins.module_utils.faults._provider import (
    own_disk_lacks,
    programs,
)

ACTIONS = ("crash", "reboot", "off", "panic")
NO_SWITCH = "the testbed has no power switch for nodes of this provider yet"
OWN_KERNEL = "this provider's nodes share the host's kernel: a panic would end the host with all nodes"
_ELSEWHERE = {"vm": NO_SWITCH, "baremetal": NO_SWITCH}


def action(value: object) -> str:
    """Return an action, also `off` where YAML has made it false; raises ValueError."""
    return str(choice(*ACTIONS)("off" if value is False else value))


class Power(Fault):
    """A node whose power is cut by its provider.

    Program: `action`, `lose_unsynced`.
    """

    on_node: ClassVar[bool] = False
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "action": Parameter(action, "what becomes of the node", required=True),
        "lose_unsynced": Parameter(
            flag, "crash, off: whether the node's own disk loses what was not fsynced", False
        ),
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
            "node: a power cut that loses un-fsynced writes",
            "action: crash, lose_unsynced: true, nodes: [n1]",
            "as a crash, and ext4's shutdown of the node's own disk before it is mounted anew",
            "a file of ours that was fsynced right before is there, one that was not is lost",
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
            "action: off, nodes: {random: 1}, for: 12s, every: 10s, count: 3, max_down: 2",
            "as each of them",
            "as each of them",
            _ELSEWHERE,
        ),
    )

    @staticmethod
    def problems(params: Mapping[str, Any]) -> Iterable[str]:
        """A node that shuts down by itself loses nothing."""
        if params["lose_unsynced"] and params["action"] not in ("crash", "off"):
            yield f"lose_unsynced: given for {params['action']}; allowed: with crash, off"

    @staticmethod
    def takes_down(params: Mapping[str, Any]) -> bool:
        """A node without power is down, however short."""
        return True

    @staticmethod
    def plan(params: dict[str, Any], targets: Targets) -> dict[str, dict[str, Any]]:
        """Every chosen node's part, for its provider; raises ValueError where that cannot."""
        able = ("crash", "off", "reboot")
        found = programs(params, targets, NO_SWITCH)
        if params["action"] not in able:
            raise ValueError(
                f"action: given {params['action']!r} for {', '.join(found)}; allowed: {', '.join(able)}; "
                f"{OWN_KERNEL}"
            )
        return found

    @staticmethod
    def capable(program: dict[str, Any]) -> list[str]:
        """Ask what the node was told by its provider."""
        return own_disk_lacks(limit=False) if program["lose_unsynced"] else []


FAULT = Power
