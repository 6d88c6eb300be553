# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The power program: what a provider does to its nodes, from this machine and on its own clock.

It runs twice for each run: whoever holds the lock works, the other waits for the lock, which the kernel hands
over when the worker dies. So the death of either, or of the controller, changes nothing. What has been done
is in a journal beside the lock: the next worker goes on from there, and `heal` finds what both left. It ends
by itself when its folder is gone, as after `destroy`.

`python3 power.pyz FOLDER` starts it; the folder holds `job.json`: `{run, testbed_id, state_dir,
start_wall_ns, records, faults: [{id, type, node, start_s, end_s, action, ...}]}`, and `switches.json`, which
root alone reads, what is known of each node's switch. What each fault did goes to
`RECORDS/power-NODE/ledger.jsonl`, in the words of the nodes' own ledgers.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import write_json
from ansible_collections.foundation.testbed.plugins.module_utils.lab.cgroup import systemd_is_init
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError, run, wait_until
from ansible_collections.foundation.testbed.plugins.module_utils.lab.disk_fault import DiskFault
from ansible_collections.foundation.testbed.plugins.module_utils.lab.lab import Lab
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths
from ansible_collections.foundation.testbed.plugins.module_utils.lab.power_fault import PowerFault
from ansible_collections.foundation.testbed.plugins.module_utils.lab.provider_fault import (
    BOOT_S,
    WATCH_EVERY_S,
    ProviderFault,
    cut_entries,
    lock_of,
    power_dir,
    works,
)
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switch import NoSuchNode, Record, Switch
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switches import (
    FILE,
    staged_switch,
    write_switches,
)

KINDS: dict[str, type[ProviderFault[Any]]] = {kind.kind: kind for kind in (PowerFault, DiskFault)}
ACTIONS = ("crash", "reboot", "off", "panic", "slow", "fail")
# Seconds in which a program that is told to stop has stopped.
STOP_S = 15.0


class Program:
    """All faults of one run; the process that holds the lock."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.job = dict(json.loads((folder / "job.json").read_text(encoding="utf-8")))
        self.spare: Optional[subprocess.Popen[bytes]] = None

    def work(self) -> None:
        """Live through all faults beside each other, with a spare that goes on should this process die."""
        threads = [
            threading.Thread(target=KINDS[fault["type"]](self.folder, self.job, fault).live, daemon=True)
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
            self.spare = begin(command_of(self.folder, sys.executable), self.folder)


def begin(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    """Start a program's process in a session of its own, that holds on to nothing of the caller's."""
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
        )


def command_of(folder: Path, python: str) -> list[str]:
    """Return the command of a program's process."""
    return [python, str(folder / "power.pyz"), str(folder)]


def start(lab: LabPaths, job: Record, switches: Mapping[str, Record], archive: bytes, python: str) -> None:
    """Stage the program of a run and start it; raises LabError when it does not live.

    `switches` says of each node what `switches.switch_of` needs.
    """
    folder = power_dir(lab) / job["run"]
    forget(lab)
    try:
        folder.mkdir(parents=True)
        folder.chmod(0o700)
        write_switches(folder, switches)
    except FileExistsError:
        raise LabError(f"run: given {job['run']!r}, which has a power program already") from None
    except PermissionError as error:
        raise LabError(f"{error}: power and disks are in the hands of this machine's root alone") from None
    (folder / "power.pyz").write_bytes(archive)
    write_json(folder / "job.json", job)
    if systemd_is_init() and os.geteuid() == 0:  # in a unit of its own, or it would die with the session
        unit = f"--unit=foundation-testbed-power-{job['testbed_id']}-{job['run']}"
        kept = ["--quiet", "--collect", unit, "--property=KillMode=process"]
        run(["systemd-run", *kept, "--", *command_of(folder, python)])
    else:  # no child of ours either: whoever kills the controller with all its descendants would find it
        begin(["setsid", "--fork", *command_of(folder, python)], folder).wait()
    if not wait_until(lambda: works(folder), 10.0):
        raise LabError(f"the power program of the run {job['run']} does not start; see {folder / 'log'}")


def forget(lab: LabPaths) -> None:
    """Remove the folders of programs that are done and have taken everything back."""
    for path in power_dir(lab).glob("*/done.json"):
        _forget(path.parent)


def _forget(folder: Path) -> bool:
    """Remove a program's folder, unless a fault is left in its journal that `heal` has to take back."""
    if list(folder.glob("cut.*.json")):
        return False
    _remove(folder)
    return True


def await_end(lab: LabPaths, name: str, timeout_s: Optional[float] = None) -> bool:
    """Wait until the program of a run has ended; returns whether it has, and has taken everything back.

    Without `timeout_s` its nodes have the time that those of their provider need to boot.
    """
    folder = power_dir(lab) / name

    def ended() -> bool:
        return (folder / "done.json").exists() or not folder.exists()

    timeout_s = _patience(lab, folder) * 2 * BOOT_S if timeout_s is None else timeout_s
    wait_until(lambda: ended() or not works(folder), timeout_s, 0.1)
    if not ended():
        return False
    return _forget(folder)


def _patience(lab: LabPaths, folder: Path) -> float:
    """Return how many times longer than a container the slowest node of a program may take."""
    found = [1.0]
    with contextlib.suppress(OSError, ValueError):
        for name in json.loads((folder / FILE).read_text(encoding="utf-8")):
            with contextlib.suppress(LabError):
                found.append(staged_switch(lab, folder, name).patience)
    return max(found)


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
    """End a run's power program, or every one, and take back what they did: `{"stopped", "restored"}`.

    Returns once those nodes answer, or after the time that such nodes have to boot. What cannot be taken back
    stays in its journal, and all of it is told: raises LabError.
    """
    if not lab.home.exists():
        return {"stopped": [], "restored": []}
    stopped = stop(lab, name)
    healed: list[tuple[Record, Path, Switch]] = []
    refused: list[str] = []
    with Lab(lab).locked():
        for path, entry in cut_entries(lab, name):
            try:
                switch = _ailing(lab, path, entry)
                if switch is not None:
                    others = [e for p, e in cut_entries(lab) if p != path and e["node"] == entry["node"]]
                    KINDS[entry["type"]].heal(switch, entry, others)
                    healed.append((entry, path, switch))
            except LabError as error:  # the others are healed all the same
                refused.append(f"{entry['node']}: {error}")
                continue
            path.unlink(missing_ok=True)
        for folder in sorted(power_dir(lab).glob(name)):
            _forget(folder)
        _tidy(lab)
    switches = [switch for _entry, _path, switch in healed]
    patience = max((switch.patience for switch in switches), default=1.0)
    wait_until(lambda: all(switch.answers() for switch in switches), BOOT_S * patience)
    for entry, path, switch in healed:
        with contextlib.suppress(LabError):  # a node that is not back: its own release removes it
            KINDS[entry["type"]].tidy(switch, path, entry)
    if refused:
        raise LabError("; ".join(refused))
    return {"stopped": stopped, "restored": [switch.name for switch in switches]}


def _tidy(lab: LabPaths) -> None:
    """Leave no folder of a lab in which nothing else is: hosts that exist have none."""
    with contextlib.suppress(OSError):
        power_dir(lab).rmdir()
    if {path.name for path in lab.home.glob("*")} <= {"power-records"}:
        shutil.rmtree(lab.home, ignore_errors=True)
        with contextlib.suppress(OSError):
            lab.home.parent.rmdir()


def to_heal(lab: LabPaths, name: str = "*") -> Record:
    """Return what `heal` would do, and change nothing; raises LabError."""
    jobs = sorted(power_dir(lab).glob(f"{name}/job.json"))
    ailing = {entry["node"] for path, entry in cut_entries(lab, name) if _ailing(lab, path, entry)}
    return {"stopped": [job.parent.name for job in jobs if works(job.parent)], "restored": sorted(ailing)}


def _ailing(lab: LabPaths, path: Path, entry: Record) -> Optional[Switch]:
    """Return the switch of a node that is still as a fault has left it, else None; raises LabError."""
    try:
        switch = staged_switch(lab, path.parent, entry["node"])
    except NoSuchNode:
        return None
    kind = KINDS[entry["type"]]
    # who dies between the order and its mark in the journal leaves a machine that is still going down
    wait_s = 0.0 if entry["applied"] else switch.settle_s
    return switch if wait_until(lambda: kind.ails(switch, entry), wait_s, 0.5) else None


def _idle(folder: Path) -> Callable[[], bool]:
    return lambda: not works(folder)


def _remove(folder: Path) -> None:
    """Remove a program's folder: its job first, so that nobody begins anything."""
    for name in ("job.json", "done.json", "power.pyz", "log", "lock", FILE):
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
