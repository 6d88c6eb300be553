# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults of the provider on a real node: begin them, watch them, kill what holds them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.lab import power
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths
from ansible_collections.foundation.testbed.plugins.module_utils.lab.provider_fault import power_dir
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switch_container import ContainerSwitch
from ansible_collections.foundation.testbed.plugins.plugin_utils.agent_archive import power_archive
from support import STATE_DIR, Lab, wait_until

# Seconds in which a program has taken everything back and its node answers.
END_S = 90.0


def paths_of(lab: Lab, node: str) -> LabPaths:
    """The container provider's files of a lab."""
    return LabPaths(STATE_DIR, lab.variables(node)["testbed_id"])


def begin_faults(
    paths: LabPaths, folder: Path, faults: list[dict[str, Any]], start_wall_ns: int | None = None
) -> dict[str, Any]:
    """Start a power program for faults as a plan has them; returns its job."""
    job = {
        "run": f"test-{time.time_ns()}",
        "testbed_id": paths.testbed_id,
        "state_dir": str(paths.state_dir),
        "start_wall_ns": start_wall_ns or time.time_ns() + 2 * 10**9,
        "records": str(folder),
        "faults": faults,
    }
    switches = {fault["node"]: {"provider": "container"} for fault in faults}
    power.start(paths, job, switches, power_archive(), sys.executable)
    return job


def programs(paths: LabPaths, run: str) -> list[int]:
    """Processes of the power program of a run, the worker first."""
    wanted = str(power_dir(paths) / run)
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        pid = int(path.parent.name)
        with contextlib.suppress(OSError):  # it may end in this very moment
            # A command that a program is about to run is its copy for a moment, but leads no session.
            if wanted.encode() in path.read_bytes().split(b"\0") and os.getsid(pid) == pid:
                found.append((path.parent.stat().st_ctime_ns, pid))
    return [pid for _since, pid in sorted(found)]


def entries(folder: Path, node: str) -> list[dict[str, Any]]:
    """What a power program has written of a node."""
    path = folder / f"power-{node}" / "ledger.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def await_boot(lab: Lab, node: str) -> None:
    """Wait until a node answers, its recovery has ended and its services have started."""
    wait_until(ContainerSwitch(paths_of(lab, node), node).answers, 60, f"{node} answers ssh")
    recovered = "systemctl show -P ActiveState foundation-testbed-recover.service"
    wait_until(lambda: lab.on(node, recovered, check=False).strip() == "inactive", 30, "recovery after boot")


@dataclass
class StagedProvider:
    """Faults that a power program holds; what `fault_lab.Staged` is for those of the agent."""

    lab: Lab
    node: str
    program: dict[str, Any]
    folder: Path

    @property
    def paths(self) -> LabPaths:
        """The container provider's files of the lab."""
        return paths_of(self.lab, self.node)

    def wait_for(self, offset_s: float) -> None:
        """Wait until so many seconds after the start instant."""
        time.sleep(max(self.program["start_wall_ns"] / 1e9 + offset_s - time.time(), 0))

    def ledger(self, event: str | None = None) -> list[dict[str, Any]]:
        """What the program has written, of one event or all."""
        return [entry for entry in entries(self.folder, self.node) if event in (None, entry["event"])]

    def kill(self) -> None:
        """SIGKILL to the process that works, if it still does; its spare goes on."""
        for pid in programs(self.paths, self.program["run"])[:1]:
            os.kill(pid, signal.SIGKILL)

    def traces(self) -> list[str]:
        """How the node still ails right now."""
        ailing = power.to_heal(self.paths, self.program["run"])["restored"]
        return [f"{node} is still as the fault has made it" for node in ailing]

    def finish(self, timeout_s: float = END_S) -> list[dict[str, Any]]:
        """Wait until the program has ended and the node has booted; returns the whole ledger."""
        self.wait_for(max(fault["end_s"] for fault in self.program["faults"]))
        run = self.program["run"]
        assert power.await_end(self.paths, run, timeout_s), "the power program ended and took all back"
        wait_until(lambda: not programs(self.paths, run), 20, "no process of the power program is left")
        await_boot(self.lab, self.node)
        return self.ledger()
