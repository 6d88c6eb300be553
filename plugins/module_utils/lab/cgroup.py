# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A control group for each node on hosts whose PID 1 is not systemd, with cgroup v1, v2 or both."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError, run, wait_until

CPU_PERIOD_US = 100_000
CONTROLLERS = ("memory", "cpu", "pids")
# What a node is held by where the kernel has it, though it can do without.
WELCOME = ("io",)
CPU_WEIGHT = 100
"""What systemd and cgroup v2 give a group that says nothing; 1,024 in v1."""


@dataclass(frozen=True)
class Limits:
    """Limits of one node: bytes of memory, CPUs (1.5 is one and a half), number of tasks.

    `cpu_weight` says what it gets of CPUs that all nodes want: twice as much with 200 as with 100.
    """

    memory_bytes: int
    cpus: float
    pids: int
    cpu_weight: int = CPU_WEIGHT


@dataclass(frozen=True)
class Hierarchy:
    """One mounted cgroup hierarchy."""

    mount_point: Path
    version: int
    controllers: frozenset[str]


def parse_hierarchies(mounts: str) -> list[Hierarchy]:
    """Cgroup hierarchies out of the text of /proc/mounts; a v2 one gets its controllers filled in later."""
    found = []
    for line in mounts.splitlines():
        _, mount_point, kind, options, *_ = line.split()
        if kind == "cgroup2":
            found.append(Hierarchy(Path(mount_point), 2, frozenset()))
        elif kind == "cgroup":
            found.append(Hierarchy(Path(mount_point), 1, frozenset(options.split(","))))
    return found


def limit_files(version: int, limits: Limits) -> dict[str, dict[str, str]]:
    """Files to write, by controller, for the given limits."""
    quota = str(round(limits.cpus * CPU_PERIOD_US))
    if version == 2:
        return {
            "memory": {"memory.max": str(limits.memory_bytes)},
            "cpu": {"cpu.max": f"{quota} {CPU_PERIOD_US}", "cpu.weight": str(limits.cpu_weight)},
            "pids": {"pids.max": str(limits.pids)},
        }
    return {
        "memory": {"memory.limit_in_bytes": str(limits.memory_bytes)},
        "cpu": {
            "cpu.cfs_period_us": str(CPU_PERIOD_US),
            "cpu.cfs_quota_us": quota,
            "cpu.shares": str(limits.cpu_weight * 1024 // CPU_WEIGHT),
        },
        "pids": {"pids.max": str(limits.pids)},
    }


def _wanted_hierarchies() -> list[Hierarchy]:
    """Hierarchies that carry a limit, or that systemd inside the node uses to name its units."""
    wanted = []
    for hierarchy in parse_hierarchies(Path("/proc/mounts").read_text(encoding="utf-8")):
        if hierarchy.version == 2:
            available = (hierarchy.mount_point / "cgroup.controllers").read_text(encoding="utf-8").split()
            wanted.append(Hierarchy(hierarchy.mount_point, 2, frozenset(available)))
        elif hierarchy.controllers & {*CONTROLLERS, "name=systemd"}:
            wanted.append(hierarchy)
    return wanted


def pids_below(folder: Path) -> set[int]:
    """Every process in a group and in the groups below it."""
    found: set[int] = set()
    for group, _, _ in os.walk(folder):  # which passes over groups that end meanwhile
        with contextlib.suppress(OSError):
            procs = Path(group, "cgroup.procs").read_text(encoding="utf-8")
            found.update(int(pid) for pid in procs.split() if pid != "0")
    return found


def unit_pids(unit: str) -> set[int]:
    """Every process of a systemd unit of this machine."""
    return set().union(*(pids_below(folder) for _, folder in _unit_groups(unit)))


def unit_group(unit: str) -> Optional[Path]:
    """Return the group of cgroup v2 that holds a systemd unit of this machine, None where there is none."""
    return next((folder for version, folder in _unit_groups(unit) if version == 2), None)


def _unit_groups(unit: str) -> list[tuple[int, Path]]:
    below = run(["systemctl", "show", "--property=ControlGroup", "--value", unit]).strip().lstrip("/")
    mounts = Path("/proc/mounts").read_text(encoding="utf-8") if below else ""
    return [(h.version, h.mount_point / below) for h in parse_hierarchies(mounts)]


class NodeGroup:
    """The control group `foundation-testbed/<testbed_id>/<node>` in every hierarchy that matters."""

    def __init__(self, testbed_id: str, node: str):
        self.below = Path("foundation-testbed") / testbed_id / node
        self.hierarchies = _wanted_hierarchies()

    def folders(self) -> list[Path]:
        """This group's folders that exist."""
        return [path for h in self.hierarchies if (path := h.mount_point / self.below).is_dir()]

    def create(self, limits: Limits) -> None:
        """Make the group anew and set its limits; raises LabError when a controller is not to be had.

        A killed node leaves groups that hold controllers, and v2 takes no process beside such.
        """
        left = set(CONTROLLERS)
        for hierarchy in self.hierarchies:
            if hierarchy.version == 2:
                self._delegate(hierarchy)
            _remove_tree(hierarchy.mount_point / self.below)
            (hierarchy.mount_point / self.below).mkdir(parents=True)
            left -= hierarchy.controllers
        if left:
            raise LabError(
                f"this machine has no cgroup controller for {', '.join(sorted(left))}: "
                "nodes would have no limit"
            )
        self.set_limits(limits)

    def set_limits(self, limits: Limits) -> bool:
        """Write the limits; returns whether anything differed."""
        changed = False
        for hierarchy in self.hierarchies:
            for controller, files in limit_files(hierarchy.version, limits).items():
                if controller in hierarchy.controllers:
                    for name, value in files.items():
                        changed |= _write_if_other(hierarchy.mount_point / self.below / name, value)
        return changed

    def _delegate(self, hierarchy: Hierarchy) -> None:
        """Hand the controllers down from the root of a v2 hierarchy to this group's parent."""
        usable = [c for c in (*CONTROLLERS, *WELCOME) if c in hierarchy.controllers]
        folder = hierarchy.mount_point
        for part in ("", *self.below.parent.parts):
            folder = folder / part
            folder.mkdir(exist_ok=True)
            if usable:
                (folder / "cgroup.subtree_control").write_text(
                    " ".join(f"+{c}" for c in usable), encoding="utf-8"
                )

    def join(self) -> None:
        """Move the calling process into the group."""
        for folder in self.folders():
            (folder / "cgroup.procs").write_text(str(os.getpid()), encoding="utf-8")

    def pids(self) -> set[int]:
        """Every process of the node, its supervisor among them."""
        return set().union(*(pids_below(folder) for folder in self.folders()))

    def kill(self, timeout_s: float = 10.0) -> None:
        """SIGKILL every process, as a power cut would; raises LabError when some outlive it."""

        def gone() -> bool:
            left = self.pids()
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not left

        if not wait_until(gone, timeout_s, 0.02):
            raise LabError(f"processes of {self.below} outlive SIGKILL: {sorted(self.pids())}")

    def remove(self) -> None:
        """Remove the group's folders, and its parents where they are empty."""
        for hierarchy in self.hierarchies:
            _remove_tree(hierarchy.mount_point / self.below)
            for parent in list(self.below.parents)[:-1]:
                with contextlib.suppress(OSError):
                    (hierarchy.mount_point / parent).rmdir()


def _remove_tree(top: Path) -> None:
    def removed() -> bool:
        for folder, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
        return not top.exists()

    if not wait_until(removed, 5.0):
        raise LabError(f"the control group {top} cannot be removed")


def _write_if_other(path: Path, value: str) -> bool:
    if _canonical(path.read_text(encoding="utf-8").strip(), value) == value:
        return False
    path.write_text(value, encoding="utf-8")
    return True


def _canonical(present: str, wanted: str) -> str:
    """Return `wanted` when the kernel holds it rounded down to a page."""
    page = os.sysconf("SC_PAGE_SIZE")
    if present.isdigit() and wanted.isdigit() and int(present) == int(wanted) // page * page:
        return wanted
    return present


def systemd_is_init(comm: Optional[str] = None) -> bool:
    """Tell whether PID 1 of this machine is systemd."""
    return (comm or Path("/proc/1/comm").read_text(encoding="utf-8")).strip() == "systemd"
