# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Power of a system container: cut, on, reboot; and what is seen of the node from this machine."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.lab import bridge
from ansible_collections.foundation.testbed.plugins.module_utils.lab.cgroup import (
    Hierarchy,
    Limits,
    parse_hierarchies,
)
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError, run
from ansible_collections.foundation.testbed.plugins.module_utils.lab.lab import Lab
from ansible_collections.foundation.testbed.plugins.module_utils.lab.node import Node, answers_ssh
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switch import NoSuchNode, Record, Switch
from ansible_collections.foundation.testbed.plugins.module_utils.lab.witness import DiskWitness

# What systemd as PID 1 takes for `systemctl reboot` (systemd(1), signals).
REBOOT = signal.SIGRTMIN + 5
# Where a kernel tells of the boot, below a root.
BOOT_ID = "proc/sys/kernel/random/boot_id"
# Seconds to wait for an ssh server while asking whether the node answers.
CONNECT_S, GREETING_S = 0.2, 2.0
_SPAN = re.compile(r"([0-9.]+)(us|ms|s|min|h)\b")
_SPAN_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}


class ContainerSwitch(Switch):
    """Power of one node of the container provider."""

    provider: ClassVar[str] = "container"

    def __init__(self, lab: LabPaths, name: str, said: Optional[Record] = None):
        super().__init__(lab, name, said or {})
        self.node = Node(lab, name)
        made_from = self.node.made_from()
        if made_from is None:
            raise NoSuchNode(f"there is no node {name!r} in the lab {lab.testbed_id!r}")
        self.address, self.images = str(made_from["address"]), list(made_from["images"])

    def refuses(self, action: str, lose_unsynced: bool) -> list[str]:
        """Say what of it this node cannot do right now."""
        if lose_unsynced and not self.node.has_disk():
            return [f"{self.name} has no disk of its own (resource limit disk)"]
        return []

    def running(self) -> bool:
        """Whether the node has power."""
        return self.node.running()

    def answers(self) -> bool:
        """Whether an ssh server greets at the node's address."""
        return answers_ssh(self.address, CONNECT_S, GREETING_S)

    def boot_id(self) -> Optional[str]:
        """Return what the node's kernel tells its processes of the boot, or None while none runs.

        PID 1 of a node that is being started sees this machine's files at first, and so this machine's boot.
        """
        init = self._init()
        if init is None:
            return None
        with contextlib.suppress(OSError):
            roots = (Path("/"), Path(f"/proc/{init}/root"))
            own, seen = ((root / BOOT_ID).read_text(encoding="utf-8").strip() for root in roots)
            return seen if seen and seen != own else None
        return None

    def limits(self) -> Limits:
        """Return the limits that hold the node right now, to hold it after the next start as well."""
        if self.node.group is not None:
            below = self.node.group.below
            return limits_in([(h, h.mount_point / below) for h in self.node.group.hierarchies])
        names = "--property=MemoryMax,CPUQuotaPerSecUSec,TasksMax"
        return limits_shown(run(["systemctl", "show", names, self.node.unit]))

    def note(self) -> Record:
        """Return the limits, which the next start needs."""
        return asdict(self.limits())

    def processes(self) -> set[int]:
        """Return every process of the node."""
        return self.node.pids()

    def witness(self, name: str) -> DiskWitness:
        """Return two files on the node's disk, beside its root."""
        return DiskWitness(self.node.paths.disk / name)

    def lose_unsynced(self) -> None:
        """Have the node's own disk forget what was not fsynced; the node is off."""
        self.node.lose_unsynced()

    @contextlib.contextmanager
    def exclusively(self) -> Iterator[None]:
        """Keep a provision or destroy of the lab waiting, which starts nodes as well."""
        with Lab(self.lab).locked():
            yield

    def cut(self) -> int:
        """Cut the power; returns how many processes that ended.

        The node's link goes first: a machine without power closes no connection, its peers hear nothing.
        """
        link = self.node._let_network_die()
        if link is not None:
            bridge.cut_port(link)
        count = len(self.node.pids())
        self.node.kill()
        return count

    def on(self, note: Record) -> None:
        """Switch the power on; does nothing where it is on."""
        if not self.running():
            self.node.mount(self.images)
            self.node.start(Limits(**note))

    def reboot(self) -> None:
        """Have the node's own PID 1 reboot it, as `systemctl reboot` on the node does."""
        init = self._init()
        if init is None:
            raise LabError(f"{self.name} has no PID 1 to reboot it")
        os.kill(init, REBOOT)

    def innermost_group(self) -> Optional[Path]:
        """Return the group of cgroup v2 that the node's PID 1 is in, None where there is none."""
        init = self._init()
        if init is None:
            return None
        mounts = Path("/proc/mounts").read_text(encoding="utf-8")
        top = next((h.mount_point for h in parse_hierarchies(mounts) if h.version == 2), None)
        lines = Path(f"/proc/{init}/cgroup").read_text(encoding="utf-8").splitlines()
        below = next((line[3:] for line in lines if line.startswith("0::")), None)
        return None if top is None or below is None else top / below.lstrip("/")

    def _init(self) -> Optional[int]:
        """Return the process that is PID 1 inside the node."""
        for pid in sorted(self.node.pids()):
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
                if inner_pids(status)[1:] == [1]:
                    return pid
        return None


def inner_pids(status: str) -> list[int]:
    """Numbers of a process in each namespace, this machine's first, out of the text of /proc/PID/status."""
    lines = [line for line in status.splitlines() if line.startswith("NSpid:")]
    return [int(number) for number in lines[0].split()[1:]] if lines else []


def limits_in(groups: list[tuple[Hierarchy, Path]]) -> Limits:
    """Read the limits out of a node's control groups; raises LabError where one is missing."""
    found: dict[str, Any] = {}
    for hierarchy, folder in groups:
        version = hierarchy.version
        with contextlib.suppress(OSError, ValueError):
            if "memory" in hierarchy.controllers:
                name = "memory.max" if version == 2 else "memory.limit_in_bytes"
                found["memory_bytes"] = int((folder / name).read_text())
            if "pids" in hierarchy.controllers:
                found["pids"] = int((folder / "pids.max").read_text())
            if "cpu" in hierarchy.controllers:
                names = ["cpu.max"] if version == 2 else ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
                quota, period = " ".join((folder / name).read_text().strip() for name in names).split()
                found["cpus"] = int(quota) / int(period)
    return _whole(found)


def limits_shown(text: str) -> Limits:
    """Read the limits out of what `systemctl show` prints; raises LabError where one is missing."""
    said = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    found: dict[str, Any] = {}
    with contextlib.suppress(ValueError, KeyError):
        found["memory_bytes"] = int(said["MemoryMax"])
    with contextlib.suppress(ValueError, KeyError):
        found["pids"] = int(said["TasksMax"])
    spans = _SPAN.findall(said.get("CPUQuotaPerSecUSec", ""))
    if spans:
        found["cpus"] = round(sum(float(number) * _SPAN_S[unit] for number, unit in spans), 6)
    return _whole(found)


def _whole(found: dict[str, Any]) -> Limits:
    missing = [name for name in ("memory_bytes", "cpus", "pids") if name not in found]
    if missing:
        raise LabError(f"the node has no limit of {', '.join(missing)} that could hold it after the cut")
    return Limits(**found)
