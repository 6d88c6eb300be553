# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the provider does to a node, from outside: the steps that all such faults share.

A fault that is under way is in a journal, `cut.FAULT.NODE.json` beside the program's lock: a successor goes
on from there, and `heal` takes back what nobody lives to take back.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Generic, Optional, TypeVar, cast

from ansible_collections.foundation.testbed.plugins.module_utils.agent.clock import RunClock
from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import write_json
from ansible_collections.foundation.testbed.plugins.module_utils.agent.ledger import Ledger
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switch import Record, Switch
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switches import staged_switch

# Seconds by which a program may come too late, and between two entries of evidence.
LATE_S, ENTRY_EVERY_S = 1.0, 1.0
# Seconds that a node has to answer ssh after its power is on again; times its switch's patience.
BOOT_S = 60.0
# Seconds for which a switch that does not answer is asked again to switch a node on; times its patience.
INSIST_S = 6.0
# Seconds between two looks at whether the job still stands.
WATCH_EVERY_S = 0.1

AnySwitch = TypeVar("AnySwitch", bound=Switch)


def power_dir(lab: LabPaths) -> Path:
    """Folder of all power programs of a lab."""
    return lab.home / "power"


@contextlib.contextmanager
def lock_of(folder: Path, wait: bool = True) -> Iterator[bool]:
    """Hold a program's lock; tells whether it is held."""
    with (folder / "lock").open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


def works(folder: Path) -> bool:
    """Whether a program of this folder lives."""
    try:
        with lock_of(folder, wait=False) as free:
            return not free
    except FileNotFoundError:
        return False


def cut_entries(lab: LabPaths, name: str = "*") -> list[tuple[Path, Record]]:
    """What the journals of a run, or of all, say is under way and is not taken back by its plan."""
    found = []
    for path in sorted(power_dir(lab).glob(f"{name}/cut.*.json")):
        with contextlib.suppress(OSError, ValueError):
            found.append((path, dict(json.loads(path.read_text(encoding="utf-8")))))
    return found


def living_runs(lab: LabPaths) -> list[str]:
    """Return the names of runs whose program lives."""
    return sorted(path.parent.name for path in power_dir(lab).glob("*/job.json") if works(path.parent))


def active_faults(lab: LabPaths, node: str) -> Iterator[Record]:
    """Return what holds on a node right now, with instants in seconds since the epoch."""
    for path, entry in cut_entries(lab):
        if entry["node"] != node or not entry["applied"] or "last" in entry:
            continue
        try:
            job = json.loads((path.parent / "job.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):  # it ends just now
            continue
        (fault,) = [one for one in job["faults"] if (one["id"], one["node"]) == (entry["id"], node)]
        until_s = job["start_wall_ns"] / 1e9 + fault["end_s"]
        yield {
            "fault": entry["id"],
            "type": entry["type"],
            "action": entry["action"],
            "run": job["run"],
            "since_s": entry["ended_ns"] / 1e9,
            "until_s": until_s,
            "left_s": round(until_s - time.time(), 3),
            "trace": path.name,
        }


class ProviderFault(Generic[AnySwitch]):
    """One fault on one node, as the agent's are: check, apply, prove, revert, prove it is gone, record.

    A kind says what it does in `_prepare`, `_apply`, `_look`, `_evidence`, `_end` and `take_back`.
    """

    kind: ClassVar[str]

    def __init__(self, folder: Path, job: Record, fault: Record):
        self.folder, self.fault = folder, fault
        self.paths = LabPaths(Path(job["state_dir"]), job["testbed_id"])
        self.clock = RunClock(job["start_wall_ns"])
        records = Path(job["records"]) / f"power-{fault['node']}"
        records.mkdir(parents=True, exist_ok=True)
        self.ledger = Ledger(records / "ledger.jsonl", fault["node"], self.clock)
        self.entry_path = folder / f"cut.{fault['id']}.{fault['node']}.json"

    def write(self, event: str, **fields: Any) -> None:
        """Write an event of the fault into the run's ledger."""
        self.ledger.write(event, self.fault["id"], self.kind, **fields)

    def live(self) -> None:
        """Go through all steps, from where a predecessor left them; whatever goes wrong is in the ledger."""
        try:
            self._live()
        except Exception as error:
            said = str(error) if isinstance(error, LabError) else f"{type(error).__name__}: {error}"
            self.write("error", message=said)
            # where even that fails, the journal stays for whoever comes next
            with contextlib.suppress(Exception):
                if (entry := self._entry()) is not None:
                    self._take_back(self._switch(), entry)
                    self.entry_path.unlink(missing_ok=True)

    def _switch(self) -> AnySwitch:
        """Return the node's switch as the program's folder says it; raises LabError."""
        return cast(AnySwitch, staged_switch(self.paths, self.folder, self.fault["node"]))

    def _prepare(self, switch: AnySwitch) -> Record:
        """Return what the journal needs of this kind; raises LabError where it cannot be done."""
        return {}

    def _apply(self, switch: AnySwitch, entry: Record) -> Record:
        """Do it, journal it, write it down; returns the journal's entry."""
        raise NotImplementedError

    def _look(self, switch: AnySwitch, entry: Record) -> None:
        """Look once while it is to hold."""

    def _evidence(self, switch: AnySwitch, entry: Record) -> Record:
        """Return `present`, `effective`, and figures."""
        raise NotImplementedError

    def _end(self, switch: AnySwitch, entry: Record) -> None:
        """Take it back, and prove that it is gone."""
        raise NotImplementedError

    def _take_back(self, switch: AnySwitch, entry: Record) -> None:
        """Take it back after something went wrong."""
        raise NotImplementedError

    @staticmethod
    def ails(switch: AnySwitch, entry: Record) -> bool:
        """Whether the node is still as the fault has made it."""
        raise NotImplementedError

    @staticmethod
    def tidy(switch: AnySwitch, path: Path, entry: Record) -> None:
        """Remove what is left on a node that `heal` has brought back; `path` is the journal's."""

    @staticmethod
    def heal(switch: AnySwitch, entry: Record, others: list[Record]) -> None:
        """Take it back, whatever its plan was; the lab is locked. `others` go on on the node."""
        raise NotImplementedError

    def _live(self) -> None:
        if self.fault["id"] in self.ledger.faults_with(("record", "error")):
            return
        entry = self._entry()
        if entry is None:
            entry = self._check()
            if entry is None or not self._until(self.fault["start_s"]):
                return
        switch = self._switch()
        if not entry["applied"]:
            entry = self._apply(switch, entry)
        if "last" not in entry and not self._hold(switch, entry):
            return
        self._end(switch, entry)

    def _entry(self) -> Optional[Record]:
        try:
            return dict(json.loads(self.entry_path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return None

    def _until(self, offset_s: float) -> bool:
        """Wait for an instant of the run; returns whether the job is still there then."""
        while (left_s := offset_s - self.clock.now_s()) > 0:
            if not self._wanted():
                return False
            time.sleep(min(left_s, WATCH_EVERY_S))
        return self._wanted()

    def _wanted(self) -> bool:
        return (self.folder / "job.json").exists()

    def _check(self) -> Optional[Record]:
        """Look at the node before the start, and write into the journal what the end needs."""
        reasons = []
        entry: Record = {key: self.fault[key] for key in ("id", "node", "action")}
        entry.update(type=self.kind, applied=False)
        try:
            switch = self._switch()
            if not self._until(self.fault["start_s"] - switch.check_ahead_s):
                return None
            late_s = self.clock.now_s() - self.fault["start_s"]
            if late_s > LATE_S:
                reasons.append(f"its power program came {late_s:.1f} s too late")
            entry.update(note=self._note(switch), **self._prepare(switch))
        except LabError as error:
            reasons.append(str(error))
        self.write("check", able=not reasons, reasons=reasons, feels=False, lapses=False)
        if reasons:
            return None
        write_json(self.entry_path, entry, durable=True)
        return entry

    def _note(self, switch: AnySwitch) -> Record:
        """Note how a node that runs has to be switched on, or what another fault noted before it cut it."""
        if not switch.running():
            for _path, entry in cut_entries(self.paths):
                if entry["node"] == self.fault["node"]:
                    return dict(entry["note"])
        return switch.note()

    def _applied(self, entry: Record, began_ns: int, **fields: Any) -> Record:
        """Journal and write down that it took effect within the time since `began_ns`."""
        ended_ns = time.time_ns()
        entry = {**entry, **fields, "applied": True, "ended_ns": ended_ns}
        write_json(self.entry_path, entry, durable=True)
        self.write("apply", felt_ns=ended_ns, resolution_ms=round((ended_ns - began_ns) / 1e6, 3))
        return entry

    def _keep(self, switch: AnySwitch, entry: Record) -> None:
        """Do what has to be done again and again while it holds."""

    def _hold(self, switch: AnySwitch, entry: Record) -> bool:
        """Look and say what is seen until the end. False: the job is gone."""
        count, every_s = 0, switch.look_every_s
        looks_per_entry = max(1, round(ENTRY_EVERY_S / every_s))
        at_s = self.clock.now_s()
        unseen: Optional[str] = None
        while True:
            try:
                self._keep(switch, entry)
            except LabError as error:  # asked again at the next look
                unseen = str(error)
            at_s = max(at_s + every_s, self.clock.now_s())
            if at_s > self.fault["end_s"] - 0.1:
                return self._until(self.fault["end_s"])
            if not self._until(at_s):
                return False
            with contextlib.suppress(LabError):  # the evidence will say so
                self._look(switch, entry)
            count += 1
            if count % looks_per_entry == 0 or at_s + every_s > self.fault["end_s"] - 0.1:
                self.write("evidence", **self._seen(switch, entry, unseen))
                unseen = None

    def _seen(self, switch: AnySwitch, entry: Record, unseen: Optional[str] = None) -> Record:
        """Return the evidence; while the switch does not answer there is none, and the reason is told."""
        try:
            found = self._evidence(switch, entry)
        except LabError as error:
            return {"present": False, "effective": False, "reason": str(error)}
        return {**found, **({"reason": unseen} if unseen and not found["present"] else {})}

    def _last(self, switch: AnySwitch, entry: Record) -> Record:
        """Write down what was seen last; from now on it keeps nothing off."""
        if "last" not in entry:
            entry["last"] = self._seen(switch, entry)
            self.write("evidence", **entry["last"])
            write_json(self.entry_path, entry)
        return dict(entry["last"])

    def _kept_off(self) -> bool:
        """Whether another fault of any living program keeps the node off."""
        return self._held_beside("off")

    def _held_beside(self, action: str) -> bool:
        """Whether another fault of any living program does the same to the node, and has not ended."""
        return any(
            entry["node"] == self.fault["node"]
            and entry["action"] == action
            and entry["applied"]
            and "last" not in entry
            for path, entry in cut_entries(self.paths)
            if path != self.entry_path and (path.parent == self.folder or works(path.parent))
        )

    def _switch_on(self, switch: AnySwitch, entry: Record) -> None:
        """Switch the node on, unless it is, another fault keeps it off, or the lab is being removed."""
        if switch.running() or self._kept_off():
            return
        with switch.exclusively():
            if self._wanted():
                switch.on(entry["note"])

    def _insist(self, switch: AnySwitch, entry: Record) -> None:
        """Switch the node on; a switch that does not answer is asked again for a while. Raises LabError."""
        deadline_s = time.monotonic() + INSIST_S * switch.patience
        while True:
            try:
                return self._switch_on(switch, entry)
            except LabError:
                if time.monotonic() > deadline_s or not self._wanted():
                    raise
            time.sleep(switch.look_every_s)

    def _await(self, switch: AnySwitch, entry: Record) -> bool:
        """Wait until the node answers, or another fault has cut it; tells whether all is well."""
        deadline_s = time.monotonic() + BOOT_S * switch.patience
        while time.monotonic() < deadline_s and self._wanted():
            if switch.answers() or self._kept_off():
                return True
            with contextlib.suppress(LabError):  # asked again
                self._switch_on(switch, entry)
            time.sleep(max(WATCH_EVERY_S, switch.look_every_s / 4))
        return False
