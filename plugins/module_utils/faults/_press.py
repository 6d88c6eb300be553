# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The kinds of pressure that a program of ours makes: memory, processors, disk and tasks are used up."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.agent import own_limits
from ansible_collections.foundation.testbed.plugins.module_utils.faults import _load
from ansible_collections.foundation.testbed.plugins.module_utils.faults.disk_fill import (
    HOSTS,
    MEMORY,
    is_hosts,
    mount_at,
)

# How far below its target (in percent of the limit, or of the target) a pressure still counts as reached.
MEMORY_TOLERANCE, SHARE_OF_TARGET = 5.0, 0.8
# How far above its target (in percent of the limit) what we ourselves load may be.
CPU_TOLERANCE = 10.0
# Tasks by which what is left may differ from what was asked for, as others begin and end.
PIDS_TOLERANCE = 8
NO_LIMIT = (
    "resource: this container has no {0} limit of its own, and the host would be endangered; "
    "allowed: a node with a limit (docs/cluster.md, resource_limits), a machine"
)


class Press:
    """One resource under pressure, by a child of the agent. `name` marks the child's processes."""

    # What `effective` of one evidence says (agent/fault.py).
    evidence_kind: ClassVar[str] = "seen"

    def __init__(self, name: str, program: Mapping[str, Any], left_s: float):
        self.name, self.program = name, program
        self.end_s = time.monotonic() + left_s
        self.child: Optional[_load.Child] = None
        self.began_s = 0.0

    @staticmethod
    def capable(program: Mapping[str, Any]) -> list[str]:
        """Reasons why this node cannot."""
        return []

    def before(self) -> dict[str, Any]:
        """What revert needs besides the name."""
        return {}

    def job(self) -> dict[str, Any]:
        """What the child is told."""
        raise NotImplementedError

    def apply(self) -> None:
        """Begin it; raises RuntimeError when it does not."""
        self.measure_before()
        self.began_s = time.monotonic()
        self._begin_child().await_word(min(_load.READY_S, self.left_s))

    @property
    def left_s(self) -> float:
        """Seconds for which a child may work: its lease is that of the fault, whenever it begins."""
        return max(self.end_s - time.monotonic(), 0.0)

    def _begin_child(self) -> _load.Child:
        self.child = _load.Child(self.name, {**self.job(), "left_s": self.left_s})
        return self.child

    def measure_before(self) -> None:
        """Look at the resource before it is pressed on."""

    def observe(self) -> None:
        """Look once."""

    def figures(self) -> dict[str, Any]:
        """`effective`, and what was measured."""
        raise NotImplementedError

    def evidence(self) -> dict[str, Any]:
        """Whether it goes on, whether it works, and figures."""
        return {"present": self.child is not None and self.child.alive, **self.figures()}

    @staticmethod
    def revert(undo: Mapping[str, Any]) -> None:
        """End every process of ours."""
        _load.kill_marked(undo["name"])

    def said(self) -> dict[int, dict[str, Any]]:
        """Last figures of the child's workers."""
        return self.child.listen() if self.child is not None else {}


class MemoryPress(Press):
    """Memory is used up to a percentage of the node's limit, and held there."""

    evidence_kind: ClassVar[str] = "level"

    def __init__(self, name: str, program: Mapping[str, Any], left_s: float):
        super().__init__(name, program, left_s)
        self.limit = own_limits.memory_limit() or 0
        self.target = float(program["target"])
        self.used_before = self.kills = 0
        self.begun_again = self.held_most = 0
        self.seen: list[float] = []

    @staticmethod
    def capable(program: Mapping[str, Any]) -> list[str]:
        """Whether the node has a limit, and can see what it uses."""
        limit, used = own_limits.memory_limit(), own_limits.memory_used()
        if limit is None:
            return [NO_LIMIT.format("memory")]
        if used is None:
            return ["resource: this node cannot see how much memory it uses; allowed: a node that can"]
        percent = 100 * used / max(limit, 1)
        # What others of ours hold goes when they end, and this one takes over.
        if percent >= program["target"] and not _load.marked():
            return [
                f"target: given {program['target']:g}, but {percent:.1f} percent are used already; "
                "allowed: more than that"
            ]
        return []

    def measure_before(self) -> None:
        """Look at what is used, and how often the kernel has killed."""
        self.used_before = own_limits.memory_used() or 0
        self.kills = own_limits.oom_kills() or 0

    def job(self) -> dict[str, Any]:
        """The bytes that the node is to use."""
        return {"resource": "memory", "bytes": int(self.limit * self.target / 100)}

    def observe(self) -> None:
        """Look at the usage; a holder that the kernel has killed, as the first of all, begins again."""
        self.seen.append(self._percent(own_limits.memory_used() or 0))
        kills = own_limits.oom_kills() or 0
        if kills > self.kills and self.child is not None and not self.child.alive:
            self.child.end()
            self._begin_child()  # what becomes of it shows the next time: the fault's end waits for nobody
            self.begun_again += 1
        self.kills = kills

    def _percent(self, used: int) -> float:
        return round(100 * used / max(self.limit, 1), 2)

    def figures(self) -> dict[str, Any]:
        """How much of the limit is used, and how much of that is held."""
        used = own_limits.memory_used() or 0
        held = sum(each["held"] for each in self.said().values())
        self.held_most = max(self.held_most, held)
        return {
            # Where the node uses so much all by itself, none of it is this fault's doing.
            "effective": self.held_most > 0 and self._percent(used) >= self.target - MEMORY_TOLERANCE,
            "target_percent": self.target,
            "percent": self._percent(used),
            "percent_before": self._percent(self.used_before),
            "percent_seen": {"lowest": min(self.seen), "highest": max(self.seen)} if self.seen else {},
            "used": used,
            "used_before": self.used_before,
            "limit": self.limit,
            "held": held,
            "holder_killed_by_kernel": self.begun_again,
            "stalled_percent": own_limits.stalled("memory"),
        }


class CpuPress(Press):
    """Processors are loaded to a percentage of the node's limit."""

    evidence_kind: ClassVar[str] = "sum"

    def __init__(self, name: str, program: Mapping[str, Any], left_s: float):
        super().__init__(name, program, left_s)
        self.limit = own_limits.cpu_limit() or 0.0
        self.target = float(program["target"])
        self.workers = workers_of(self.limit, program.get("workers"))
        self.used_before: Optional[float] = None

    @staticmethod
    def capable(program: Mapping[str, Any]) -> list[str]:
        """Whether stress-ng is there, a limit, and where it is not to be reached what the node uses of it."""
        reasons = [] if shutil.which("stress-ng") else ["resource: stress-ng is not installed on this node"]
        if program["target"] < 100 and own_limits.cpu_used_s() is None:
            reasons.append(
                f"target: given {program['target']:g}, but this node cannot see how much processor time it "
                "uses; allowed: 100"
            )
        return reasons + ([NO_LIMIT.format("processor")] if own_limits.cpu_limit() is None else [])

    def measure_before(self) -> None:
        """Look at the time used so far."""
        self.used_before = own_limits.cpu_used_s()

    def job(self) -> dict[str, Any]:
        """So many workers, and the processors that the node is to use."""
        return {"resource": "cpu", "workers": self.workers, "processors": self.target * self.limit / 100}

    def figures(self) -> dict[str, Any]:
        """The load that our processes make, and that of the whole node, since the beginning."""
        to_percent = 100 / max(time.monotonic() - self.began_s, 0.001) / max(self.limit, 0.001)
        own, waited = (s * to_percent for s in _load.cpu_seconds(list(_load.marked(self.name))))
        used = own_limits.cpu_used_s()
        known = used is not None and self.used_before is not None
        whole = ((used or 0.0) - (self.used_before or 0.0)) * to_percent if known else own
        most = self.target + CPU_TOLERANCE  # more than that of ours is another fault than the one asked for
        return {
            # Where the host gives the node less than its limit, the node is as short of it: that counts.
            "effective": own > 0 and whole + waited >= SHARE_OF_TARGET * self.target and own <= most,
            "target_percent": self.target,
            "percent": round(whole, 1),
            "own_percent": round(own, 1),
            "own_waited_percent": round(waited, 1),
            "limit": self.limit,
            "workers": self.workers,
            "stalled_percent": own_limits.stalled("cpu"),
        }


class IoPress(Press):
    """A disk is kept busy with small writes that are synced one by one."""

    evidence_kind: ClassVar[str] = "sum"

    @staticmethod
    def capable(program: Mapping[str, Any]) -> list[str]:
        """Whether the path is a folder on a disk, this node's own, with room for what is written there."""
        path, given = Path(program["path"]), f"path: given {program['path']!r}"
        if not path.is_dir():
            return [f"{given}, which is no folder here; allowed: a folder on a disk"]
        place, kind, _ = mount_at(str(path))
        if kind in MEMORY:
            return [f"{given}, which lies in memory; allowed: a folder on a disk"]
        if is_hosts(place):
            return [f"{given}, {HOSTS}"]
        workers = program.get("workers") or 1
        needed, free = workers * _load.FILE_BYTES, shutil.disk_usage(path).free
        if free < needed:
            return [f"{given}, where {free} bytes are free; allowed: {needed} for {workers} workers"]
        return []

    def job(self) -> dict[str, Any]:
        """So many workers, each so busy, and no faster than its part of the rate."""
        workers = self.program.get("workers") or 1
        return {
            "resource": "io",
            "workers": workers,
            "share": self.program["target"] / 100,
            "rate": self.program["rate"] / workers,
            "path": self.program["path"],
        }

    def figures(self) -> dict[str, Any]:
        """What was written and synced, and the share of the time in which a write was under way."""
        said = list(self.said().values())
        written = sum(each["written"] for each in said)
        seconds = max((each["seconds"] for each in said), default=0.0)
        shares = [100 * each["busy_s"] / each["seconds"] for each in said if each["seconds"]]
        busy = sum(shares) / max(len(shares), 1)
        rate = written / seconds if seconds else 0.0
        target = float(self.program["target"])
        return {
            "effective": busy >= SHARE_OF_TARGET * target or rate >= SHARE_OF_TARGET * self.program["rate"],
            "target_percent": target,
            "busy_percent": round(busy, 1),
            "written": written,
            "syncs": written // _load.WRITE_BYTES,
            "bytes_per_s": round(rate),
            "most_bytes_per_s": self.program["rate"],
            "stalled_percent": own_limits.stalled("io"),
        }


class PidsPress(Press):
    """Tasks are used up until only some are left."""

    evidence_kind: ClassVar[str] = "level"

    def __init__(self, name: str, program: Mapping[str, Any], left_s: float):
        super().__init__(name, program, left_s)
        self.limit = own_limits.pids_limit() or 0
        self.left_wanted = int(program["left"])
        self.used_before = 0

    @staticmethod
    def capable(program: Mapping[str, Any]) -> list[str]:
        """Whether the node has a limit, and more left than asked for."""
        limit, used = own_limits.pids_limit(), own_limits.pids_used()
        if limit is None or used is None:
            return [NO_LIMIT.format("task")]
        if limit - used < program["left"]:
            return [f"left: given {program['left']}, but {limit - used} are left; allowed: fewer"]
        return []

    def measure_before(self) -> None:
        """Look at what is used."""
        self.used_before = own_limits.pids_used() or 0

    def job(self) -> dict[str, Any]:
        """The limit, and what is to be left of it."""
        return {"resource": "pids", "limit": self.limit, "left": self.left_wanted}

    def figures(self) -> dict[str, Any]:
        """How many are in use, and how many of them are ours."""
        used = own_limits.pids_used() or 0
        held = sum(each["held"] for each in self.said().values())
        return {
            "effective": held > 0 and abs(self.limit - used - self.left_wanted) <= PIDS_TOLERANCE,
            "left_wanted": self.left_wanted,
            "left": self.limit - used,
            "used": used,
            "used_before": self.used_before,
            "limit": self.limit,
            "percent": round(100 * used / max(self.limit, 1), 1),
            "held": held,
        }


def workers_of(limit: float, given: Optional[int]) -> int:
    """Return how many workers load processors: enough for the whole limit, unless some are given."""
    return given or max(math.ceil(limit), 1)
