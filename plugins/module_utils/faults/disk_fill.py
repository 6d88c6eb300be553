# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Disk fill: a file system of the node is full to a percentage, of its space or of its inodes.

What fills it lies in one folder of ours at the root of that file system, and is held at the target while
others write and delete: it grows and shrinks four times a second. A reboot leaves the folder, and the journal
removes it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, ClassVar, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.agent import own_limits
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import (
    Context,
    Fault,
    Row,
    Targets,
)
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import (
    Parameter,
    choice,
    percentage,
    text,
)

PREFIX = ".foundation-testbed-"
DEFAULT_PATH = "/var/lib"
# What one step of filling takes at most, and where it gives up to make it smaller.
LARGEST_STEP, SMALLEST_STEP = 2**30, 4096
# Seconds that the first filling and a later correction may take; what is left is done the next time.
FIRST_S, LATER_S = 1.5, 0.2
# Files beyond which creating and removing them takes longer than a lease allows.
MOST_FILES = 200_000
# How far from its target a share may be (in percent of the whole), and still have been reached.
TOLERANCE = 1.0
# What is no disk: in memory, of the kernel, or somebody else's machine.
MEMORY = ("tmpfs", "ramfs", "devtmpfs", "hugetlbfs")
HOSTS = (
    "which is the host's own file system: this container has no disk of its own, and filling it would "
    "endanger the host; set the resource limit disk (docs/cluster.md)"
)


# Place, type and whether it can be written.
Mount = tuple[Path, str, bool]


@dataclass(frozen=True)
class Usage:
    """A file system as `df` counts it: root's reserve is neither used nor free."""

    total: int
    used: int
    free: int

    @property
    def percent(self) -> float:
        """Share that is used, of what can be."""
        return 100 * self.used / max(self.used + self.free, 1)

    def missing(self, target: float) -> int:
        """How much more has to be used to reach the target; below 0 when it is exceeded."""
        return int((self.used + self.free) * target / 100) - self.used


def usage_of(stat: os.statvfs_result, resource: str) -> Usage:
    """Return the usage of a file system in bytes, or in inodes."""
    if resource == "inodes":
        return Usage(stat.f_files, stat.f_files - stat.f_ffree, stat.f_favail)
    size = stat.f_frsize
    return Usage(stat.f_blocks * size, (stat.f_blocks - stat.f_bfree) * size, stat.f_bavail * size)


def folder_name(run: str, fault: str) -> str:
    """Name of the folder of one fault."""
    return PREFIX + re.sub(r"[^A-Za-z0-9._-]", "_", f"{run}-{fault}")


def mount_of(folder: Path, mounts: Sequence[Mount], device: Callable[[Path], int]) -> Mount:
    """Return the mount nearest to the root through which the file system of a folder is seen.

    `device` tells one file system from another. Pure.
    """
    holding = [mount for mount in mounts if mount[0] == folder or mount[0] in folder.parents]
    wanted = device(folder)
    return min(
        (mount for mount in reversed(holding) if device(mount[0]) == wanted),
        key=lambda mount: len(mount[0].parts),
    )


def parse_mounts(listing: str) -> list[Mount]:
    """Return (place, type, writable) of every line of /proc/self/mounts."""
    found = []
    for line in listing.splitlines():
        _, place, kind, options, *_ = line.split(" ")
        plain = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), place)
        found.append((Path(plain), kind, "rw" in options.split(",")))
    return found


def _mounts() -> list[Mount]:
    return parse_mounts(Path("/proc/self/mounts").read_text(encoding="utf-8", errors="surrogateescape"))


def mount_at(path: str) -> Mount:
    """Return the mount of a path, or of its nearest ancestor that is there: a system may not have run yet."""
    found = Path(os.path.realpath(path))
    while not found.is_dir():
        found = found.parent
    return mount_of(found, _mounts(), lambda place: place.stat().st_dev)


def is_hosts(place: Path) -> bool:
    """Whether the file system at a mount is the host's, not a disk that a container's limit gives it."""
    if not own_limits.in_container():
        return False
    limit = own_limits.told().get("disk_bytes")
    total = usage_of(os.statvfs(place), "space").total  # the file system's own needs apart
    return str(place) != "/" or limit is None or total > int(limit)


class DiskFill(Fault):
    """A file system that is full. Program: `resource` (space, inodes), `target` (percent), `path`."""

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "target": Parameter(percentage, "percentage of the file system that is used", required=True),
        "resource": Parameter(choice("space", "inodes"), "what of it is used up", "space"),
        "path": Parameter(
            text(r"/[^\0\n]*", "an absolute path on the node"),
            "a path on that file system; the data of the node's own system by default",
        ),
    }
    survives_reboot: ClassVar[bool] = True
    catalogue: ClassVar[Sequence[Row]] = (
        Row(
            "disk filled to a percentage",
            "target: 95",
            "fallocate in one folder of ours, held at the target (container: on the node's own disk, "
            "resource limit `disk`)",
            "bytes used before and now as `df` counts them; at 100 a write of ours that finds no room",
        ),
        Row(
            "inodes used up",
            "target: 100, resource: inodes",
            "empty files in one folder of ours, held at the target",
            "inodes used before and now; at 100 a file that cannot be made",
        ),
    )

    def __init__(self, context: Context):
        super().__init__(context)
        self.resource: str = self.program["resource"]
        self.target = float(self.program["target"])
        self.folder = mount_at(self.program["path"])[0] / folder_name(context.run, context.fault_id)
        self.filler = self.folder / "space"
        self.before: Optional[Usage] = None
        self.held = self.held_most = 0
        self.denied = {"asked": 0, "denied": 0}

    @staticmethod
    def plan(params: dict[str, Any], targets: Targets) -> dict[str, dict[str, Any]]:
        """Every node's own data path, where none is named."""
        cluster, programs = targets.cluster, {}
        for name in targets.chosen:
            own = [
                path
                for system in cluster.systems.get(name, ())
                for path in cluster.data_paths.get(system, ())
            ]
            programs[name] = {
                "resource": params["resource"],
                "target": params["target"],
                "path": params.get("path") or (own or [DEFAULT_PATH])[0],
            }
        return programs

    @staticmethod
    def capable(program: dict[str, Any]) -> list[str]:
        """Whether the file system is this node's own, on a disk, and can be filled in time."""
        place, kind, writable = mount_at(program["path"])
        given = f"path: given {program['path']!r}, on the {kind} at {place}"
        if kind in MEMORY:
            return [f"{given}, which lies in memory; allowed: a path on a disk (or the fault pressure)"]
        stat = os.statvfs(place)
        usage = usage_of(stat, program["resource"])
        if not writable or not usage_of(stat, "space").total:
            return [f"{given}, which cannot be written; allowed: a path on a disk that can"]
        if is_hosts(place):
            return [f"{given}, {HOSTS}"]
        if program["resource"] == "inodes" and not usage.total:
            return [f"{given}, which has no fixed number of inodes; allowed: resource: space"]
        return _unfit(program["target"], usage, program["resource"], place)

    @property
    def evidence_kind(self) -> str:
        """How full it is right now."""
        return "level"

    def undo(self) -> dict[str, Any]:
        """The folder is all that there is."""
        return {"trace": str(self.folder)}

    def apply(self) -> None:
        """Fill it; raises OSError when the folder cannot be made."""
        self.before = self._usage()
        self.folder.mkdir(mode=0o700)
        if self.resource == "space":
            self.filler.touch(mode=0o600)
        self._hold(FIRST_S)

    def observe(self) -> None:
        """Correct what others have changed."""
        self._hold(LATER_S)
        if self.target >= 100:
            self.denied["asked"] += 1
            self.denied["denied"] += self._is_denied()

    def evidence(self) -> dict[str, Any]:
        """Whether what fills it is all there, and how full it is."""
        now = self._usage()
        # Where others have filled it all by themselves, none of it is this fault's doing.
        reached = self.held_most > 0 and now.percent >= self.target - TOLERANCE
        return {
            "present": self._all_there(),
            "effective": reached and (self.target < 100 or self.denied["denied"] > 0),
            "resource": self.resource,
            "file_system": str(self.folder.parent),
            "target_percent": self.target,
            "percent": round(now.percent, 2),
            "percent_before": round(self.before.percent, 2) if self.before else None,
            "used": now.used,
            "used_before": self.before.used if self.before else None,
            "total": now.total,
            "held": self.held,
            "unit": "inodes" if self.resource == "inodes" else "bytes",
            "writes_of_ours": dict(self.denied),
        }

    @staticmethod
    def revert(undo: dict[str, Any]) -> None:
        """Remove the fault's folder if it is there; raises OSError when it cannot."""
        folder = Path(undo["trace"])
        if folder.name.startswith(PREFIX) and folder.is_dir() and not folder.is_symlink():
            shutil.rmtree(folder)

    @staticmethod
    def leftovers() -> list[dict[str, Any]]:
        """Every folder of ours at the root of a file system."""
        found: set[str] = set()
        for place, kind, _ in _mounts():
            if kind not in MEMORY:
                with contextlib.suppress(OSError):
                    found.update(str(path) for path in place.glob(f"{PREFIX}*") if path.is_dir())
        return [{"trace": trace} for trace in sorted(found)]

    def _usage(self) -> Usage:
        return usage_of(os.statvfs(self.folder.parent), self.resource)

    def _all_there(self) -> bool:
        try:
            if self.resource == "space":
                return self.filler.stat().st_size == self.held
            with os.scandir(self.folder) as entries:
                return sum(1 for _ in entries) == self.held
        except OSError:
            return False

    def _hold(self, seconds: float) -> None:
        """Grow or shrink to the target, for so long at most."""
        if not self.folder.is_dir():  # somebody has taken it away, which the evidence has to show
            return
        step = self._hold_space if self.resource == "space" else self._hold_inodes
        step(time.monotonic() + seconds)
        self.held_most = max(self.held_most, self.held)

    def _hold_space(self, deadline: float) -> None:
        if not self._all_there():
            return
        descriptor = os.open(self.filler, os.O_WRONLY | os.O_CLOEXEC)
        try:
            self._resize(descriptor, deadline)
            self.held = os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)

    def _resize(self, descriptor: int, deadline: float) -> None:
        size = os.fstat(descriptor).st_size
        missing = self._usage().missing(self.target)
        if missing < 0:
            if self.target < 100:
                os.ftruncate(descriptor, max(size + missing, 0))
            return
        # To the very last block, which the file system's own figures do not tell.
        left = LARGEST_STEP if self.target >= 100 else missing
        step = min(left, LARGEST_STEP)
        while left >= SMALLEST_STEP and step >= SMALLEST_STEP and time.monotonic() < deadline:
            step = min(step, left)
            try:
                os.posix_fallocate(descriptor, size, step)
                size += step
                left -= step if self.target < 100 else 0
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                os.ftruncate(descriptor, size)  # what a refused step has taken all the same
                step //= 2

    def _hold_inodes(self, deadline: float) -> None:
        missing = self._usage().missing(self.target)
        while missing < 0 < self.held and self.target < 100 and time.monotonic() < deadline:
            (self.folder / str(self.held - 1)).unlink(missing_ok=True)
            self.held, missing = self.held - 1, missing + 1
        if self.target >= 100:  # until the file system refuses
            missing = MOST_FILES
        while missing > 0 and time.monotonic() < deadline and self._make_file(self.held):
            self.held, missing = self.held + 1, missing - 1

    def _make_file(self, number: int) -> bool:
        try:
            os.close(os.open(self.folder / str(number), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EEXIST):
                raise
            return False
        return True

    def _is_denied(self) -> bool:
        """Whether one more block, or one more file, finds no room right now."""
        if self.resource == "inodes":
            if self._make_file(self.held):
                self.held += 1
                return False
            return True
        try:
            with self.filler.open("r+b") as file:
                os.posix_fallocate(file.fileno(), self.held, SMALLEST_STEP)
        except OSError as error:
            return error.errno == errno.ENOSPC
        self.held += SMALLEST_STEP
        return False


def _unfit(target: float, usage: Usage, resource: str, place: Path) -> list[str]:
    """Reasons why a file system cannot be filled to a target: it is already, or that would take too long."""
    # What others of ours hold goes when they end, and this one takes over.
    if usage.percent >= target and not any(place.glob(f"{PREFIX}*")):
        return [
            f"target: given {target:g}, but {usage.percent:.1f} percent of the {resource} at {place} are "
            "used already; allowed: more than that"
        ]
    files = usage.missing(target)
    if resource == "inodes" and files > MOST_FILES:
        return [
            f"target: {target:g} percent of the inodes at {place} are {files} files more, too many to "
            f"make and remove in time; allowed: at most {MOST_FILES}"
        ]
    return []


FAULT = DiskFill
