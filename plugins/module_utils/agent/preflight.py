# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What has to be true of a node before anything on it is broken."""

from __future__ import annotations

import shutil
import time
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.agent import heal, system
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import fault_class
from ansible_collections.foundation.testbed.plugins.module_utils.agent.paths import STATE

MINIMUM_FREE_BYTES = 64 * 2**20
# Seconds that a system which is not healthy is given to become so.
PATIENCE_S = 5.0


def preflight(systems: list[str], faults: list[dict[str, Any]]) -> dict[str, Any]:
    """Answers of this node: reasons not to run (testbed's and system's apart), clock, versions, health.

    `faults` are this node's own in the plan: `{"id", "type", "node"}`.
    """
    health = {name: _healthy_soon(name) for name in systems}
    return {
        "blockers": [
            *_leftovers(),
            *_disk(),
        ],
        "incapable": [
            f"{fault['id']} ({fault['type']}): {reason}"
            for fault in faults
            for reason in fault_class(fault["type"]).capable(fault["node"])
        ],
        "unhealthy": [
            f"{name}: {answer['error'] or 'says it is not healthy'}"
            for name, answer in health.items()
            if not answer["healthy"]
        ],
        "health": health,
        "versions": {name: system.version(name) for name in systems},
        "wall_ns": time.time_ns(),
    }


def _healthy_soon(name: str) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_S
    while not (answer := system.status(name))["healthy"] and time.monotonic() < deadline:
        time.sleep(0.25)
    return answer


def _leftovers() -> list[str]:
    left = heal.to_heal()
    if left["stopped"]:
        return [f"the run {unit} still goes on here" for unit in left["stopped"]]
    return [f"the fault {fault} was not taken back; heal first" for fault in left["reverted"]] + [
        f"{trace} is left of an earlier fault; heal first" for trace in left["swept"]
    ]


def _disk() -> list[str]:
    free = shutil.disk_usage(STATE).free
    if free >= MINIMUM_FREE_BYTES:
        return []
    return [f"only {free // 2**20} MiB are free in {STATE}; records need {MINIMUM_FREE_BYTES // 2**20} MiB"]
