# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Power: a whole node goes down, and comes back. No node does this to itself: its provider does.

What the providers do is `module_utils/lab/power_fault.py`, on the controller's machine; what each can do
is `_switches.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import Fault, Row, Targets
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import (
    Parameter,
    choice,
    flag,
)
from ansible_collections.foundation.testbed.plugins.module_utils.faults._provider import (
    named,
    own_disk_lacks,
)
from ansible_collections.foundation.testbed.plugins.module_utils.faults._switches import (
    OWN_KERNEL,
    refusal,
)

ACTIONS = ("crash", "reboot", "off", "panic")
TRIGGER = "/proc/sysrq-trigger"
NO_TRIGGER = f"this node lets nobody write to {TRIGGER}"
OWN_DISK = "the resource limit disk"
ANY, CONTROLLER = "power: redfish, ipmi or sysrq", "power: redfish or ipmi"


def action(value: object) -> str:
    """Return an action, also `off` where YAML has made it false; raises ValueError."""
    return str(choice(*ACTIONS)("off" if value is False else value))


class Power(Fault):
    """A node whose power is cut by its provider.

    Program: `action`, `lose_unsynced`, and `switch`, which does it.
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
            "power cut from outside, and on at once; a container loses its link and every process",
            "another boot id; processes killed; seconds until ssh answers",
            needs={"baremetal": ANY},
        ),
        Row(
            "node: reboot",
            "action: reboot, nodes: [n1]",
            "the node's own systemd is told to reboot",
            "another boot id; seconds until ssh answers",
            needs={"baremetal": ANY},
        ),
        Row(
            "node: off",
            "action: off, for: 20s, nodes: [n1]",
            "as a crash; power on at the end",
            "no power as its provider says (no process); no answer; another boot id after",
            needs={"baremetal": CONTROLLER},
        ),
        Row(
            "node: a power cut that loses un-fsynced writes",
            "action: crash, lose_unsynced: true, nodes: [n1]",
            "as a crash; a container's own disk is shut down (ext4) before it is mounted anew",
            "a file of ours that was fsynced right before is there, one that was not is lost",
            needs={"container": OWN_DISK, "baremetal": ANY},
        ),
        Row(
            "node: kernel panic",
            "action: panic, nodes: [n1]",
            "the node's own kernel is told to panic (sysrq), and to boot a second later",
            "another boot id; seconds until ssh answers",
            {"container": OWN_KERNEL},
            {"baremetal": ANY},
        ),
        Row(
            "node: random by seed, at an interval",
            "action: off, nodes: {random: 1}, for: 12s, every: 10s, count: 3, max_down: 2",
            "as each of them",
            "as each of them",
            needs={"baremetal": CONTROLLER},
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
        found = named(targets)
        switches = {name: targets.cluster.switch_of(name) for name in found}
        problem = refusal(params["action"], switches)
        if problem:
            raise ValueError(problem)
        return {name: {**params, "switch": switches[name]} for name in found}

    @staticmethod
    def capable(program: dict[str, Any]) -> list[str]:
        """Ask of the node what it has to bring for its own switch."""
        switch = program.get("switch", "container")
        lacking = own_disk_lacks(limit=False) if program["lose_unsynced"] and switch == "container" else []
        by_its_kernel = program["action"] == "panic" or (switch == "sysrq" and program["action"] == "crash")
        return [*lacking, *([NO_TRIGGER] if by_its_kernel and not os.access(TRIGGER, os.W_OK) else [])]


FAULT = Power
