# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The power program: what the provider does to nodes of a lab, on this machine and on its own clock.

It runs twice for each run: whoever holds the lock works, the other waits for the lock, which the kernel hands
over when the worker dies. So the death of either, or of the controller, changes nothing. What has been done
is in a journal beside the lock: the next worker goes on from there, and `heal` finds what both left. It ends
by itself when its folder is gone, as after `destroy`.

`python3 power.pyz FOLDER` starts it; the folder holds `job.json`: `{run, testbed_id, state_dir,
start_wall_ns, records, faults: [{id, type, node, start_s, end_s, action, ...}]}`. What each fault did goes to
`RECORDS/power-NODE/ledger.jsonl`, in the words of the nodes' own ledgers.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Callable, Optional

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
    Record,
    cut_entries,
    lock_of,
    power_dir,
    works,
)
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switch import Switch

KINDS: dict[str, type[ProviderFault]] = {kind.kind: kind for kind in (PowerFault, DiskFault)}
ACTIONS = ("crash", "reboot", "off", "slow", "fail")
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


def await_end(lab: LabPaths, name: str, timeout_s: float) -> bool:
    """Wait until the program of a run has ended; returns whether it has, and has taken everything back."""
    folder = power_dir(lab) / name

    def ended() -> bool:
        return (folder / "done.json").exists() or not folder.exists()

    wait_until(lambda: ended() or not works(folder), timeout_s, 0.1)
    if not ended():
        return False
    return _forget(folder)


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

    Returns once those nodes answer, or after a minute.
    """
    stopped = stop(lab, name)
    restored: list[str] = []
    with Lab(lab).locked():
        for path, entry in cut_entries(lab, name):
            if _ails(lab, entry):
                node = entry["node"]
                others = [e for other, e in cut_entries(lab) if other != path and e["node"] == node]
                KINDS[entry["type"]].heal(Switch(lab, node), entry, others)
                restored.append(node)
            path.unlink(missing_ok=True)
    for folder in sorted(power_dir(lab).glob(name)):
        _remove(folder)
    with contextlib.suppress(OSError):
        power_dir(lab).rmdir()
    switches = [Switch(lab, name) for name in restored]
    wait_until(lambda: all(switch.answers() for switch in switches), BOOT_S)
    return {"stopped": stopped, "restored": restored}


def to_heal(lab: LabPaths, name: str = "*") -> Record:
    """Return what `heal` would do, and change nothing."""
    jobs = sorted(power_dir(lab).glob(f"{name}/job.json"))
    ailing = sorted({entry["node"] for _path, entry in cut_entries(lab, name) if _ails(lab, entry)})
    return {"stopped": [job.parent.name for job in jobs if works(job.parent)], "restored": ailing}


def _ails(lab: LabPaths, entry: Record) -> bool:
    """Whether a node of the lab is still as a fault has left it."""
    return entry["node"] in lab.node_names() and KINDS[entry["type"]].ails(Switch(lab, entry["node"]), entry)


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
