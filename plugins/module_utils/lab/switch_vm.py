# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Power of a virtual machine, by the libvirt that has it."""

from __future__ import annotations

from typing import ClassVar, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError, run
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switch import Record
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switch_host import HostSwitch

# Seconds for libvirt to answer; with a remote hypervisor it goes over ssh.
ANSWER_S = 30.0
# What `virsh domstate` says of a machine without power; all else (running, paused, pmsuspended, ...) has it.
OFF = ("shut off", "crashed")


class VmSwitch(HostSwitch):
    """Power of one domain of libvirt: `said["vm"]` names it (`domain`), and its hypervisor (`uri`)."""

    provider: ClassVar[str] = "vm"
    # A machine that is emulated beside others has been seen to take ten seconds to greet.
    ssh_s: ClassVar[float] = 30.0
    greeting_s: ClassVar[float] = 10.0
    check_ahead_s = 10.0

    def __init__(self, lab: LabPaths, name: str, said: Record):
        super().__init__(lab, name, said)
        vm = said.get("vm") or {}
        if not vm.get("uri") or not vm.get("domain"):
            raise LabError(f"the inventory names no hypervisor and domain of {name}")
        self.uri, self.domain = str(vm["uri"]), str(vm["domain"])

    def running(self) -> bool:
        """Whether the machine has power."""
        return has_power(self._virsh("domstate"))

    def cut(self) -> Optional[int]:
        """Cut the power at once; the machine's memory is lost, and its page cache with it."""
        if self.running():
            self._virsh("destroy")
        return None

    def on(self, note: Record) -> None:
        """Switch the power on; does nothing where it is on."""
        if not self.running():
            self._virsh("start")

    def _virsh(self, verb: str) -> str:
        return run(["virsh", "--quiet", "--connect", self.uri, verb, self.domain], timeout_s=ANSWER_S)


def has_power(state: str) -> bool:
    """Whether a state, as `virsh domstate` says it, is one of a machine with power. Pure."""
    words = state.strip().lower()
    if not words:
        raise LabError("libvirt says nothing of the machine's state")
    return words not in OFF
