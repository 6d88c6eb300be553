# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The power program: cuts nodes of a lab and switches them on again, on this machine and on its own clock.

It runs twice for each run: whoever holds the lock works, the other waits for the lock, which the kernel hands
over when the worker dies. So the death of either, or of the controller, changes nothing. What has been cut is
in a journal beside the lock: the next worker goes on from there, and `heal` finds what both left. It ends by
itself when its folder is gone, as after `destroy`.

`python3 power.pyz FOLDER` starts it; the folder holds `job.json`:
`{run, testbed_id, state_dir, start_wall_ns, records, faults: [{id, node, action, start_s, end_s}]}`. What
each fault did goes to `RECORDS/power-NODE/ledger.jsonl`, in the words of the nodes' own ledgers.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Callable, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.agent.clock import RunClock
from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import write_json
from ansible_collections.foundation.testbed.plugins.module_utils.agent.ledger import Ledger
from ansible_collections.foundation.testbed.plugins.module_utils.lab.cgroup import Limits, systemd_is_init
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError, run, wait_until
from ansible_collections.foundation.testbed.plugins.module_utils.lab.lab import Lab
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switch import Switch

KIND = "power"
ACTIONS = ("crash", "reboot", "off")
# Seconds before the start at which a node is looked at, and between two looks while the fault holds.
CHECK_AHEAD_S, LOOK_EVERY_S, LOOKS_PER_ENTRY = 1.0, 0.25, 4
# Seconds that a node has to shut down by itself, and to answer ssh after its power is on again.
SHUTDOWN_S, BOOT_S = 30.0, 60.0
# Seconds between two looks of the worker at its spare and its folder, and after which it starts a new spare.
WATCH_EVERY_S = 0.1
# Seconds in which a program that is told to stop has stopped.
STOP_S = 15.0

Record = dict[str, Any]


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
    """What the journals of a run, or of all, say has been cut and is not on again by its plan."""
    found = []
    for path in sorted(power_dir(lab).glob(f"{name}/cut.*.json")):
        with contextlib.suppress(OSError, ValueError):
            found.append((path, dict(json.loads(path.read_text(encoding="utf-8")))))
    return found


class PowerFault:
    """One fault on one node, as the agent's are: check, apply, prove, revert, prove it is gone, record."""

    def __init__(self, folder: Path, job: Record, fault: Record):
        self.folder, self.fault = folder, fault
        self.paths = LabPaths(Path(job["state_dir"]), job["testbed_id"])
        self.clock = RunClock(job["start_wall_ns"])
        records = Path(job["records"]) / f"power-{fault['node']}"
        records.mkdir(parents=True, exist_ok=True)
        self.ledger = Ledger(records / "ledger.jsonl", fault["node"], self.clock)
        self.entry_path = folder / f"cut.{fault['id']}.{fault['node']}.json"
        self.looks = {"sent": 0, "answered": 0}
        self.answered_s: Optional[float] = None

    def write(self, event: str, **fields: Any) -> None:
        """Write an event of the fault into the run's ledger."""
        self.ledger.write(event, self.fault["id"], KIND, **fields)

    def live(self) -> None:
        """Go through all steps, from where a predecessor left them; whatever goes wrong is in the ledger."""
        try:
            self._live()
        except Exception as error:
            self.write("error", message=f"{type(error).__name__}: {error}")
            with contextlib.suppress(Exception):
                self._switch_on(Switch(self.paths, self.fault["node"]), self._entry() or {})
                self.entry_path.unlink(missing_ok=True)

    def _live(self) -> None:
        if self.fault["id"] in self.ledger.faults_with(("record", "error")):
            return
        entry = self._entry()
        if entry is None:
            entry = self._check()
            if entry is None or not self._until(self.fault["start_s"]):
                return
        switch = Switch(self.paths, self.fault["node"])
        self.answered_s = entry["answered_s"]
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
        if not self._until(self.fault["start_s"] - CHECK_AHEAD_S):
            return None
        reasons = []
        late_s = self.clock.now_s() - self.fault["start_s"]
        if late_s > CHECK_AHEAD_S:
            reasons.append(f"its power program came {late_s:.1f} s too late")
        entry: Record = {key: self.fault[key] for key in ("id", "node", "action")}
        entry.update(applied=False, killed=0, answered_s=None)
        try:
            switch = Switch(self.paths, self.fault["node"])
            limits = self._limits(switch)
            entry.update(limits=asdict(limits), boot_id=switch.boot_id())
        except LabError as error:
            reasons.append(str(error))
        self.write("check", able=not reasons, reasons=reasons, feels=False, lapses=False)
        if reasons:
            return None
        write_json(self.entry_path, entry, durable=True)
        return entry

    def _limits(self, switch: Switch) -> Limits:
        """Limits of a node that runs, or those that another fault noted before it cut the node."""
        if not switch.running():
            for _path, entry in cut_entries(self.paths):
                if entry["node"] == self.fault["node"]:
                    return Limits(**entry["limits"])
        return switch.limits()

    def _apply(self, switch: Switch, entry: Record) -> Record:
        began_ns = time.time_ns()
        if self.fault["action"] == "reboot":
            old = switch.node.pids()
            if switch.boot_id() == entry["boot_id"]:  # else a predecessor has done it
                switch.reboot()
            if not wait_until(lambda: switch.boot_id() != entry["boot_id"], SHUTDOWN_S):
                raise LabError(f"{switch.node.name} did not shut down within {SHUTDOWN_S:g} s")
            killed = len(old - switch.node.pids())
        else:
            killed = switch.cut()
        ended_ns = time.time_ns()
        entry = {**entry, "applied": True, "killed": killed, "ended_ns": ended_ns}
        write_json(self.entry_path, entry, durable=True)
        self.write("apply", felt_ns=ended_ns, resolution_ms=round((ended_ns - began_ns) / 1e6, 3))
        return entry

    def _hold(self, switch: Switch, entry: Record) -> bool:
        """Look and say what is seen until the end; a node that is to come back is kept on. False: no job."""
        count = 0
        at_s = self.clock.now_s()
        while True:
            if self.fault["action"] != "off":
                self._switch_on(switch, entry)
            at_s = max(at_s + LOOK_EVERY_S, self.clock.now_s())
            if at_s > self.fault["end_s"] - 0.1:
                return self._until(self.fault["end_s"])
            if not self._until(at_s):
                return False
            self._look(switch, entry)
            count += 1
            if count % LOOKS_PER_ENTRY == 0 or at_s + LOOK_EVERY_S > self.fault["end_s"] - 0.1:
                self.write("evidence", **self._evidence(switch, entry))

    def _look(self, switch: Switch, entry: Record) -> None:
        """Ask once whether the node answers; a node that has come back need not be asked again."""
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
        return {
            "present": present,
            "effective": effective,
            "killed": entry["killed"],
            "boot_id_before": entry["boot_id"],
            "boot_id": boot_id,
            "asked": dict(self.looks),
            "answered_s": self.answered_s,
        }

    def _end(self, switch: Switch, entry: Record) -> None:
        """Say what was seen last, switch the node on, and prove that it is back."""
        if "last" not in entry:
            entry["last"] = self._evidence(switch, entry)
            self.write("evidence", **entry["last"])
            write_json(self.entry_path, entry)  # from now on it keeps nothing off
        began_ns = time.time_ns()
        self._switch_on(switch, entry)
        ended_ns = time.time_ns()
        self.write("revert", felt_ns=ended_ns, resolution_ms=round((ended_ns - began_ns) / 1e6, 3))
        back = self._await(switch, entry)
        last = dict(entry["last"], boot_id_after=switch.boot_id())
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
        self.entry_path.unlink(missing_ok=True)

    def _await(self, switch: Switch, entry: Record) -> bool:
        """Wait until the node answers, or another fault has cut it; tells whether all is well."""
        deadline_s = time.monotonic() + BOOT_S
        while time.monotonic() < deadline_s and self._wanted():
            if switch.answers() or self._kept_off():
                return True
            self._switch_on(switch, entry)
            time.sleep(WATCH_EVERY_S)
        return False

    def _kept_off(self) -> bool:
        """Whether another fault of any living program keeps the node off."""
        return any(
            entry["node"] == self.fault["node"]
            and entry["action"] == "off"
            and entry["applied"]
            and "last" not in entry
            for path, entry in cut_entries(self.paths)
            if path != self.entry_path and (path.parent == self.folder or works(path.parent))
        )

    def _switch_on(self, switch: Switch, entry: Record) -> None:
        """Switch the node on, unless it is, another fault keeps it off, or the lab is being removed."""
        if switch.running() or self._kept_off():
            return
        with Lab(self.paths).locked():
            if self._wanted():
                switch.on(Limits(**entry["limits"]))


class Program:
    """All faults of one run; the process that holds the lock."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.job = dict(json.loads((folder / "job.json").read_text(encoding="utf-8")))
        self.spare: Optional[subprocess.Popen[bytes]] = None

    def work(self) -> None:
        """Live through all faults beside each other, with a spare that goes on should this process die."""
        threads = [
            threading.Thread(target=PowerFault(self.folder, self.job, fault).live, daemon=True)
            for fault in self.job["faults"]
        ]
        self._keep_spare()
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            if not (self.folder / "job.json").exists():
                os._exit(0)  # a thread may be waiting for the lab that is being removed
            self._keep_spare()
            time.sleep(WATCH_EVERY_S)
        with contextlib.suppress(OSError):
            write_json(self.folder / "done.json", {"ended_wall_ns": time.time_ns()})

    def _keep_spare(self) -> None:
        if self.spare is None or self.spare.poll() is not None:
            self.spare = begin(self.folder, sys.executable)


def begin(folder: Path, python: str) -> subprocess.Popen[bytes]:
    """Start a program's process in a session of its own, that holds on to nothing of the caller's."""
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            command_of(folder, python),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
        )


def command_of(folder: Path, python: str) -> list[str]:
    """Return the command of a program's process."""
    return [python, str(folder / "power.pyz"), str(folder)]


def start(lab: LabPaths, job: Record, archive: bytes, python: str) -> None:
    """Stage the program of a run and start it; raises LabError when it does not live."""
    folder = power_dir(lab) / job["run"]
    forget(lab)
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise LabError(f"run: given {job['run']!r}, which has a power program already") from None
    (folder / "power.pyz").write_bytes(archive)
    write_json(folder / "job.json", job)
    if systemd_is_init():  # in a unit of its own, or it would die with the session of the controller
        unit = f"--unit=foundation-testbed-power-{job['testbed_id']}-{job['run']}"
        kept = ["--quiet", "--collect", unit, "--property=KillMode=process"]
        run(["systemd-run", *kept, "--", *command_of(folder, python)])
    else:
        begin(folder, python)
    if not wait_until(lambda: works(folder), 10.0):
        raise LabError(f"the power program of the run {job['run']} does not start; see {folder / 'log'}")


def forget(lab: LabPaths) -> None:
    """Remove the folders of programs that are done."""
    for path in power_dir(lab).glob("*/done.json"):
        _remove(path.parent)


def await_end(lab: LabPaths, name: str, timeout_s: float) -> bool:
    """Wait until the program of a run has ended; returns whether it has, or there is none."""
    folder = power_dir(lab) / name

    def ended() -> bool:
        return (folder / "done.json").exists() or not folder.exists()

    wait_until(lambda: ended() or not works(folder), timeout_s, 0.1)
    if ended():
        _remove(folder)
        return True
    return False


def stop(lab: LabPaths, name: str = "*") -> list[str]:
    """End the power program of a run, or every one; returns the names of their runs. Raises LabError."""
    jobs = sorted(power_dir(lab).glob(f"{name}/job.json"))
    living = [job.parent for job in jobs if works(job.parent)]
    for job in jobs:
        job.unlink(missing_ok=True)
    for folder in living:
        if not wait_until(_idle(folder), STOP_S):
            raise LabError(f"the power program of the run {folder.name} does not stop")
    return [folder.name for folder in living]


def heal(lab: LabPaths, name: str = "*") -> Record:
    """End a run's power program, or every one, and switch on what they cut: `{"stopped", "started"}`.

    Returns once those nodes answer, or after a minute.
    """
    stopped = stop(lab, name)
    started: list[str] = []
    with Lab(lab).locked():
        for path, entry in cut_entries(lab, name):
            if entry["node"] in lab.node_names() and not Switch(lab, entry["node"]).running():
                Switch(lab, entry["node"]).on(Limits(**entry["limits"]))
                started.append(entry["node"])
            path.unlink(missing_ok=True)
    for folder in sorted(power_dir(lab).glob(name)):
        _remove(folder)
    with contextlib.suppress(OSError):
        power_dir(lab).rmdir()
    switches = [Switch(lab, name) for name in started]
    wait_until(lambda: all(switch.answers() for switch in switches), BOOT_S)
    return {"stopped": stopped, "started": started}


def to_heal(lab: LabPaths, name: str = "*") -> Record:
    """Return what `heal` would do, and change nothing."""
    jobs = sorted(power_dir(lab).glob(f"{name}/job.json"))
    nodes = sorted({entry["node"] for _path, entry in cut_entries(lab, name)})
    return {
        "stopped": [job.parent.name for job in jobs if works(job.parent)],
        "started": [n for n in nodes if n in lab.node_names() and not Switch(lab, n).running()],
    }


def _idle(folder: Path) -> Callable[[], bool]:
    return lambda: not works(folder)


def _remove(folder: Path) -> None:
    """Remove a program's folder: its job first, so that nobody begins anything."""
    for name in ("job.json", "done.json", "power.pyz", "log", "lock"):
        (folder / name).unlink(missing_ok=True)
    for path in folder.glob("cut.*.json"):
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()


def main(arguments: list[str]) -> int:
    """Wait for the lock of a folder, then work; returns the exit status."""
    (name,) = arguments
    folder = Path(name)
    if not folder.exists():
        return 0
    with lock_of(folder):
        if (folder / "done.json").exists() or not (folder / "job.json").exists():
            return 0
        Program(folder).work()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
