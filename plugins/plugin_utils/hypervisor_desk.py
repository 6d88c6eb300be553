# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whom the controller asks for a lab's power programs: this machine, or over ssh the hypervisor elsewhere."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.lab import desk
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths
from ansible_collections.foundation.testbed.plugins.module_utils.lab.provider_fault import BOOT_S
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switch_host import HostShell
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switch_vm import VmSwitch
from ansible_collections.foundation.testbed.plugins.plugin_utils.admission import MAX_CLOCK_OFFSET_MS
from ansible_collections.foundation.testbed.plugins.plugin_utils.agent_archive import power_archive
from ansible_collections.foundation.testbed.plugins.plugin_utils.cluster_hypervisor import GROUP
from ansible_collections.foundation.testbed.plugins.plugin_utils.power_switches import host_said

# Seconds for ssh to the hypervisor, and for an answer that waits for nothing.
CONNECT_S, ANSWER_S = 10.0, 60.0
# Seconds in which machines that are switched on again answer, as `power.heal` waits for them.
HEAL_S = BOOT_S * VmSwitch.patience
# The program is sent along with each question: nothing stands there that could be of another version.
SCRIPT = """set -e
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
base64 -d > "$folder/power.pyz" << 'END'
{archive}
END
/usr/bin/python3 "$folder/power.pyz" ask << 'END'
{question}
END
"""

Record = dict[str, Any]


class Desk:
    """Asks for one lab; with `shell`, a root shell of the hypervisor, over ssh."""

    def __init__(self, lab: LabPaths, shell: HostShell | None = None):
        self.lab, self.shell = lab, shell

    def ask(self, what: str, wait_s: float = 0.0, **details: Any) -> Record:
        """Ask one of `desk.QUESTIONS`, whose answer may take `wait_s`; raises LabError."""
        where = {"state_dir": str(self.lab.state_dir), "testbed_id": self.lab.testbed_id}
        question = {"ask": what, **where, **details}
        if self.shell is None:
            return desk.answer(question, power_archive)
        archive = base64.encodebytes(power_archive()).decode().strip()
        script = SCRIPT.format(archive=archive, question=json.dumps(question))
        asked_ns = time.time_ns()
        told = read(self.shell.run(script, ANSWER_S + wait_s))
        told["clock_offset_ms"] = offset_ms(asked_ns, told["heard_ns"], time.time_ns())
        return told

    def clock_problem(self, told: Record) -> str | None:
        """Say where the clock of the hypervisor that answered is too far from this machine's for a plan."""
        offset = told.get("clock_offset_ms", 0.0)
        if self.shell is None or abs(offset) <= MAX_CLOCK_OFFSET_MS:
            return None
        return (
            f"the clock of the hypervisor {self.shell.address} is {offset:+.0f} ms from this machine's; "
            f"allowed: {MAX_CLOCK_OFFSET_MS:.0f} ms"
        )


def read(said: str) -> Record:
    """Return an answer; raises LabError where it is a problem."""
    told: Record = json.loads(said)
    if "error" in told:
        raise LabError(str(told["error"]))
    return told


def offset_ms(asked_ns: int, heard_ns: int, answered_ns: int) -> float:
    """Return by how much a clock is ahead at least (behind: negative), when it read `heard_ns` in between."""
    if heard_ns < asked_ns:
        return (heard_ns - asked_ns) / 1e6
    return max(heard_ns - answered_ns, 0) / 1e6


def desk_of(lab: LabPaths, hostvars: Mapping[str, Any], hypervisor: str | None) -> Desk:
    """Return the desk of a lab; `hypervisor` is the host that has its nodes, None for this machine."""
    return Desk(lab, HostShell(host_said(hostvars[hypervisor]), CONNECT_S) if hypervisor else None)


def hypervisor_of(groups: Mapping[str, Any]) -> str | None:
    """Return the name of the hypervisor elsewhere, None where this machine has the nodes."""
    found = groups.get(GROUP) or []
    return str(found[0]) if found else None
