# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Power of a host that exists: by its management controller, or by its own kernel where it has none."""

from __future__ import annotations

from typing import Any, ClassVar, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.lab.bmc import CONTROLLERS
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError, wait_until
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switch import Record
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switch_host import (
    LATER,
    NO_SYSRQ,
    SYSRQ,
    HostSwitch,
)

# Seconds for a machine to do what its controller, or its own kernel, was told.
POWER_S = 20.0


class BareMetalSwitch(HostSwitch):
    """A host that exists, with the switch that `cluster.yml` names: `redfish`, `ipmi`, `sysrq`."""

    provider: ClassVar[str] = "baremetal"

    def __init__(self, lab: LabPaths, name: str, said: Record):
        super().__init__(lab, name, said)
        power = said.get("power") or {}
        if power.get("switch") == "sysrq":
            self.controller: Any = None
        elif power.get("switch") in CONTROLLERS:
            self.controller = CONTROLLERS[power["switch"]](power)
        else:
            raise LabError(f"{name} has no power switch (key power of the node in cluster.yml)")

    def refuses(self, action: str, lose_unsynced: bool) -> list[str]:
        """Say what of it the host cannot do."""
        found = super().refuses(action, lose_unsynced)
        if found or self.controller is not None:
            return found
        if action == "off":
            return [f"{self.name} has no management controller that would switch it on again"]
        if action == "crash" and self.shell.run(NO_SYSRQ).strip() != "able":
            return [f"{self.name} lets nobody write to /proc/sysrq-trigger"]
        return []

    def running(self) -> bool:
        """Whether the machine has power; without a controller nobody could switch it off."""
        return self.controller is None or bool(self.controller.running())

    def cut(self) -> Optional[int]:
        """Cut the power, or have the kernel reset the machine, nothing synced; returns once that is seen."""
        if self.controller is None:
            self._reset()
            return None
        self.controller.off()
        if not wait_until(lambda: not self.running(), POWER_S, 0.5):
            raise LabError(f"{self.name} still has power {POWER_S:g} s after it was cut")
        return None

    def _reset(self) -> None:
        before = self._asked_boot_id()
        self.shell.run(LATER.format(SYSRQ.format("b")))
        if not wait_until(lambda: self.boot_id() != before, POWER_S, 0.2):
            raise LabError(f"the kernel of {self.name} did not reset itself within {POWER_S:g} s")

    def on(self, note: Record) -> None:
        """Switch the power on; does nothing where it is on. A host that was reset boots by itself."""
        if not self.running():
            self.controller.on()
