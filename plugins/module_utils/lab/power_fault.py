# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A node's power is cut, or its kernel reboots or panics; what was not fsynced may have to be lost."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any, Callable, ClassVar, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import write_json
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError, wait_until
from ansible_collections.foundation.testbed.plugins.module_utils.lab.provider_fault import ProviderFault
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switch import Record, Switch
from ansible_collections.foundation.testbed.plugins.module_utils.lab.witness import Witness

# Seconds that a node has to go down by itself; times its switch's patience.
SHUTDOWN_S = 30.0
# Seconds from its greeting until a node says which boot it is in; times its switch's patience.
LET_IN_S = 6.0
# Actions that the node's own kernel brings about.
OWN_ACT: dict[str, Callable[[Switch], None]] = {
    "reboot": lambda switch: switch.reboot(),
    "panic": lambda switch: switch.panic(),
}


class PowerFault(ProviderFault[Switch]):
    """Crash, reboot, panic, or off until the end."""

    kind: ClassVar[str] = "power"

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.looks = {"sent": 0, "answered": 0}
        self.answered_s: Optional[float] = None

    @property
    def _off(self) -> bool:
        return bool(self.fault["action"] == "off")

    @property
    def _loses(self) -> bool:
        return bool(self.fault.get("lose_unsynced"))

    def _prepare(self, switch: Switch) -> Record:
        reasons = switch.refuses(self.fault["action"], self._loses)
        if reasons:
            raise LabError("; ".join(reasons))
        return {
            "killed": None,
            "answered_s": None,
            "boot_id": switch.boot_id(),
            "lose_unsynced": self._loses,
        }

    def _apply(self, switch: Switch, entry: Record) -> Record:
        began_ns = time.time_ns()
        if self.fault["action"] in OWN_ACT:
            return self._applied(entry, began_ns, killed=self._have_it_go_down(switch, entry))
        if self._loses:
            return self._applied(entry, began_ns, **self._cut_and_lose(switch))
        return self._applied(entry, began_ns, killed=switch.cut())

    def _have_it_go_down(self, switch: Switch, entry: Record) -> Optional[int]:
        """Have the node's own kernel do it; returns how many of this machine's processes ended."""
        old, patience_s = switch.processes(), SHUTDOWN_S * switch.patience
        if switch.boot_id() == entry["boot_id"]:  # else a predecessor has done it
            OWN_ACT[self.fault["action"]](switch)
        if not wait_until(lambda: switch.boot_id() != entry["boot_id"], patience_s):
            raise LabError(f"{switch.name} did not go down within {patience_s:g} s")
        return len(old - switch.processes()) if old else None

    def _cut_and_lose(self, switch: Switch) -> Record:
        witness = self._witness(switch)
        with switch.exclusively():
            if switch.running():
                witness.write()
            killed = switch.cut()
            switch.lose_unsynced()
            return {"killed": killed, "disk": witness.read() if witness.needs_no_node else None}

    def _witness(self, switch: Switch) -> Witness:
        return switch.witness(f"witness-{self.entry_path.stem}")

    def _keep(self, switch: Switch, entry: Record) -> None:
        """A node that is to come back is kept on until it answers."""
        if not self._off and entry["answered_s"] is None:
            self._switch_on(switch, entry)

    def _look(self, switch: Switch, entry: Record) -> None:
        """Ask once whether the node answers; a node that has come back need not be asked again."""
        self.answered_s = entry["answered_s"]
        if self.answered_s is not None and not self._off:
            return
        self.looks["sent"] += 1
        if switch.answers():
            self.looks["answered"] += 1
            if self.answered_s is None:
                self.answered_s = round((time.time_ns() - entry["ended_ns"]) / 1e9, 3)
                entry["answered_s"] = self.answered_s
                write_json(self.entry_path, entry)

    def _evidence(self, switch: Switch, entry: Record) -> Record:
        if self._off:
            present = not switch.running()
            boot_id = None if present else switch.boot_id()
            effective = present and self.looks["sent"] > self.looks["answered"]
        else:
            boot_id = switch.boot_id()
            present = effective = boot_id != entry["boot_id"]
        lost = entry.get("disk") or {}
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
        self._insist(switch, entry)
        ended_ns = time.time_ns()
        self.write("revert", felt_ns=ended_ns, resolution_ms=round((ended_ns - began_ns) / 1e6, 3))
        back = self._await(switch, entry)
        kept_off = self._kept_off()
        # a host greets before it lets anybody in
        wait_s = LET_IN_S * switch.patience if back and not kept_off else 0.0
        last["boot_id_after"] = wait_until(switch.boot_id, wait_s)
        if (self._off or last.get("answered_s") is None) and back and not kept_off:
            down_ns = ended_ns if self._off else entry["ended_ns"]
            last["answered_s"] = round((time.time_ns() - down_ns) / 1e9, 3)
        left = [] if switch.running() or kept_off else [f"{switch.name} is off"]
        if switch.running() and entry["note"]:
            last["limits_kept"] = switch.note() == entry["note"]
        if self._loses:
            left += self._say_what_was_lost(switch, last)
        booted = kept_off or last["boot_id_after"] not in (None, entry["boot_id"])
        self.write("gone", traces=left, probe_passed=back and booted)
        self.write("record", **last)
        self.entry_path.unlink(missing_ok=True)

    def _say_what_was_lost(self, switch: Switch, last: Record) -> list[str]:
        """Add what became of the witness; returns what speaks against such a cut."""
        witness = self._witness(switch)
        lost = witness.read()
        if lost is None:
            return ["nobody could read what the disk kept"]
        last.update(lost)
        if switch.running():
            with contextlib.suppress(LabError):
                witness.remove()
        wrong = {"synced_kept": "what was fsynced is lost", "unsynced_lost": "what was not fsynced is kept"}
        return [words for key, words in wrong.items() if not lost[key]]

    def _take_back(self, switch: Switch, entry: Record) -> None:
        self._insist(switch, entry)

    @staticmethod
    def ails(switch: Switch, entry: Record) -> bool:
        """Whether a node still has no power."""
        return not switch.running()

    @staticmethod
    def tidy(switch: Switch, path: Path, entry: Record) -> None:
        """Remove the witness of a cut that was to lose what was not fsynced."""
        if entry.get("lose_unsynced"):
            switch.witness(f"witness-{path.stem}").remove()

    @staticmethod
    def heal(switch: Switch, entry: Record, others: list[Record]) -> None:
        """Switch the node on, whatever its plan was; the lab is locked."""
        switch.on(entry["note"])
