# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A node's power is cut, or it is rebooted; with `lose_unsynced`, its disk forgets what was not fsynced."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any, ClassVar, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import write_json
from ansible_collections.foundation.testbed.plugins.module_utils.lab.cgroup import Limits
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError, wait_until
from ansible_collections.foundation.testbed.plugins.module_utils.lab.lab import Lab
from ansible_collections.foundation.testbed.plugins.module_utils.lab.provider_fault import (
    ProviderFault,
    Record,
)
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switch import Switch
from ansible_collections.foundation.testbed.plugins.module_utils.lab.witness import Witness

# Seconds that a node has to shut down by itself.
SHUTDOWN_S = 30.0


class PowerFault(ProviderFault):
    """Crash, reboot, or off until the end."""

    kind: ClassVar[str] = "power"

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.looks = {"sent": 0, "answered": 0}
        self.answered_s: Optional[float] = None

    def _prepare(self, switch: Switch) -> Record:
        if self.fault.get("lose_unsynced") and not switch.node.has_disk():
            raise LabError(f"{switch.node.name} has no disk of its own (resource limit disk)")
        return {"killed": 0, "answered_s": None, "boot_id": switch.boot_id()}

    def _apply(self, switch: Switch, entry: Record) -> Record:
        began_ns = time.time_ns()
        if self.fault["action"] == "reboot":
            old = switch.node.pids()
            if switch.boot_id() == entry["boot_id"]:  # else a predecessor has done it
                switch.reboot()
            if not wait_until(lambda: switch.boot_id() != entry["boot_id"], SHUTDOWN_S):
                raise LabError(f"{switch.node.name} did not shut down within {SHUTDOWN_S:g} s")
            return self._applied(entry, began_ns, killed=len(old - switch.node.pids()))
        if not self.fault.get("lose_unsynced"):
            return self._applied(entry, began_ns, killed=switch.cut())
        with Lab(self.paths).locked():
            witness = self._witness(switch)
            if switch.running():
                witness.write()
            killed = switch.cut()
            switch.node.lose_unsynced()
            return self._applied(entry, began_ns, killed=killed, disk=witness.read())

    def _witness(self, switch: Switch) -> Witness:
        return Witness(switch.node.paths.disk / f"witness-{self.entry_path.stem}")

    def _keep(self, switch: Switch, entry: Record) -> None:
        """A node that is to come back is kept on."""
        if self.fault["action"] != "off":
            self._switch_on(switch, entry)

    def _look(self, switch: Switch, entry: Record) -> None:
        """Ask once whether the node answers; a node that has come back need not be asked again."""
        self.answered_s = entry["answered_s"]
        if self.answered_s is not None and self.fault["action"] != "off":
            return
        self.looks["sent"] += 1
        if switch.answers():
            self.looks["answered"] += 1
            if self.answered_s is None:
                self.answered_s = round((time.time_ns() - entry["ended_ns"]) / 1e9, 3)
                entry["answered_s"] = self.answered_s
                write_json(self.entry_path, entry)

    def _evidence(self, switch: Switch, entry: Record) -> Record:
        boot_id = switch.boot_id()
        if self.fault["action"] == "off":
            present = not switch.running()
            effective = present and self.looks["sent"] > self.looks["answered"]
        else:
            present = effective = boot_id != entry["boot_id"]
        lost = entry.get("disk", {})
        return {
            "present": present,
            "effective": effective and all(lost.values()),
            "killed": entry["killed"],
            "boot_id_before": entry["boot_id"],
            "boot_id": boot_id,
            "asked": dict(self.looks),
            "answered_s": entry["answered_s"],
            **lost,
        }

    def _end(self, switch: Switch, entry: Record) -> None:
        """Say what was seen last, switch the node on, and prove that it is back."""
        last = self._last(switch, entry)
        began_ns = time.time_ns()
        self._switch_on(switch, entry)
        ended_ns = time.time_ns()
        self.write("revert", felt_ns=ended_ns, resolution_ms=round((ended_ns - began_ns) / 1e6, 3))
        back = self._await(switch, entry)
        last["boot_id_after"] = switch.boot_id()
        off = self.fault["action"] == "off"
        if (off or last["answered_s"] is None) and back and not self._kept_off():
            down_ns = ended_ns if off else entry["ended_ns"]
            last["answered_s"] = round((time.time_ns() - down_ns) / 1e9, 3)
        if switch.running():
            last["limits_kept"] = asdict(switch.limits()) == entry["limits"]
        left = [] if switch.running() or self._kept_off() else [f"{switch.node.name} is off"]
        booted = last["boot_id_after"] != entry["boot_id"]
        self.write("gone", traces=left, probe_passed=back and booted)
        self.write("record", **last)
        if self.fault.get("lose_unsynced") and switch.running():
            self._witness(switch).remove()
        self.entry_path.unlink(missing_ok=True)

    def _take_back(self, switch: Switch, entry: Record) -> None:
        self._switch_on(switch, entry)

    @staticmethod
    def ails(switch: Switch, entry: Record) -> bool:
        """Whether a node still has no power."""
        return not switch.running()

    @staticmethod
    def heal(switch: Switch, entry: Record, others: list[Record]) -> None:
        """Switch the node on, whatever its plan was; the lab is locked."""
        switch.on(Limits(**entry["limits"]))
