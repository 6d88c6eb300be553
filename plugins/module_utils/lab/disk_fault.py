# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A node's own disk gets slow, or fails: the kernel's limit for it, or its file system's own shutdown."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Callable, ClassVar, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.lab import disk
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError, run, wait_until
from ansible_collections.foundation.testbed.plugins.module_utils.lab.disk_limit import DiskLimit
from ansible_collections.foundation.testbed.plugins.module_utils.lab.provider_fault import (
    ProviderFault,
    cut_entries,
)
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switch import Record
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switch_container import ContainerSwitch

# The kernel gives what a tenth of a second may do at once; only what is beyond it has to wait.
SLICE_S = 0.1
# Seconds between two trains of writes: they take a share of what the node has left.
TRAIN_EVERY_S = 2.0
# Seconds in which a train ends once the limit is gone.
TRAIN_ENDS_S = 10.0
# A train that takes this share of its time shows that the limit is felt; below the other, that it is not.
FELT, NOT_FELT = 0.8, 0.5
BLOCK = 4096


def train_length(iops: int) -> int:
    """Writes in a train: those that pass at once, and as many again that have to wait, two at least. Pure."""
    return 2 * max(1, int(iops * SLICE_S)) + 1


def waits_s(iops: int) -> float:
    """Seconds that a train has to wait at the least. Pure."""
    return (train_length(iops) - max(1, int(iops * SLICE_S))) / iops


def slowest(entries: list[Record]) -> Optional[int]:
    """Return the lowest limit that faults of one node want, None where none does. Pure."""
    wanted = [
        entry["iops"] for entry in entries if entry.get("iops") and entry["applied"] and "last" not in entry
    ]
    return min(wanted, default=None)


class Train(threading.Thread):
    """A train of writes, under way or over; it waits for what others have written before it as well."""

    def __init__(self, write: Callable[[], float]):
        super().__init__(daemon=True)
        self.write, self.began_s = write, time.monotonic()
        self.ended_s: Optional[float] = None
        self.start()

    def run(self) -> None:
        """Write it; a disk, or a node, that is gone meanwhile ends it as well."""
        with contextlib.suppress(LabError, subprocess.SubprocessError):
            self.write()
        self.ended_s = time.monotonic()

    @property
    def took_s(self) -> float:
        """Seconds that it took, or has taken until now."""
        return (self.ended_s or time.monotonic()) - self.began_s

    def may_be_followed(self) -> bool:
        """Whether it has ended, and enough time has passed since it began."""
        return self.ended_s is not None and time.monotonic() - self.began_s >= TRAIN_EVERY_S


class DiskFault(ProviderFault[ContainerSwitch]):
    """A slow disk, or one that fails."""

    kind: ClassVar[str] = "disk"

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.trains: list[Train] = []
        self.asked = {"sent": 0, "errors": 0}

    @property
    def _slow(self) -> bool:
        return bool(self.fault["action"] == "slow")

    def _prepare(self, switch: ContainerSwitch) -> Record:
        if switch.provider != ContainerSwitch.provider:
            raise LabError(
                f"nobody has a hand on the disk of {switch.name}, of the provider {switch.provider}"
            )
        if not switch.node.has_disk():
            raise LabError(f"{switch.name} has no disk of its own (resource limit disk)")
        if not self._slow:
            return {"boot_id": switch.boot_id()}
        iops = int(self.fault["iops"])
        _limit_of(switch)
        self._train(switch, iops)  # which lays the file out
        before_s = self._train(switch, iops)
        if before_s > NOT_FELT * waits_s(iops) and slowest(self._others()) is None:
            self._train_file(switch).unlink(missing_ok=True)
            rate = round(train_length(iops) / before_s)
            raise LabError(
                f"iops: given {iops}; allowed: less than half of the {rate} synced writes a second that the "
                f"disk of {switch.name} does now"
            )
        return {"iops": iops, "before_ms": round(before_s * 1e3, 3)}

    def _others(self) -> list[Record]:
        """Journals of this node's other faults."""
        found = cut_entries(self.paths)
        return [e for path, e in found if e["node"] == self.fault["node"] and path != self.entry_path]

    def _apply(self, switch: ContainerSwitch, entry: Record) -> Record:
        began_ns = time.time_ns()
        with switch.exclusively():
            if self._slow:
                _limit_of(switch).set(min(entry["iops"], slowest(self._others()) or entry["iops"]))
            else:
                disk.shut_down(switch.node.paths)
        return self._applied(entry, began_ns)

    def _keep(self, switch: ContainerSwitch, entry: Record) -> None:
        """Limit the disk of a node again that has been cut meanwhile: the limit ended with its group."""
        if self._slow and _limit_now(switch) is not None and _held(switch) is None:
            with switch.exclusively(), contextlib.suppress(LabError):  # it may be cut right now
                if self._wanted():
                    _set(switch, min(entry["iops"], slowest(self._others()) or entry["iops"]))

    def _look(self, switch: ContainerSwitch, entry: Record) -> None:
        if not self._slow:
            self.asked["sent"] += 1
            self.asked["errors"] += disk.fails(switch.node.paths)
        elif not self.trains or self.trains[-1].may_be_followed():
            with contextlib.suppress(LabError, OSError):  # the node may be off
                self.trains.append(Train(self._writer(switch, entry["iops"])))

    def _evidence(self, switch: ContainerSwitch, entry: Record) -> Record:
        if not self._slow:
            fails = disk.fails(switch.node.paths)
            return {
                "present": fails,
                "effective": fails,
                "asked": dict(self.asked),
                "boot_id_before": entry["boot_id"],
            }
        held = _held(switch)
        slowed = sum(train.took_s >= FELT * waits_s(entry["iops"]) for train in self.trains)
        return {
            "present": held is not None and held <= entry["iops"],
            "effective": slowed > 0,
            "iops": held,
            "trains": {"sent": len(self.trains), "slowed": slowed},
            "train_ms": round(self.trains[-1].took_s * 1e3, 3) if self.trains else None,
            "before_ms": entry["before_ms"],
        }

    def _end(self, switch: ContainerSwitch, entry: Record) -> None:
        last = self._last(switch, entry)
        began_ns = time.time_ns()
        self._take_back(switch, entry)
        ended_ns = time.time_ns()
        self.write("revert", felt_ns=ended_ns, resolution_ms=round((ended_ns - began_ns) / 1e6, 3))
        back, left = self._slow_end(switch, entry) if self._slow else self._failed_end(switch, entry, last)
        self.write("gone", traces=left, probe_passed=back)
        self.write("record", **last)
        self.entry_path.unlink(missing_ok=True)

    def _slow_end(self, switch: ContainerSwitch, entry: Record) -> tuple[bool, list[str]]:
        """Return whether the disk is fast again, as far as other faults let it, and what is left."""
        others = slowest(self._others())
        held = _held(switch)
        for train in self.trains:
            train.join(TRAIN_ENDS_S)
        fast = others is not None or bool(wait_until(self._fast_again(switch, entry["iops"]), TRAIN_ENDS_S))
        self._train_file(switch).unlink(missing_ok=True)
        return fast, [] if held == others else [f"the disk is limited to {held} operations a second"]

    def _fast_again(self, switch: ContainerSwitch, iops: int) -> Callable[[], bool]:
        """Return what tells whether a train is too fast for the limit; one may meet somebody else's sync."""

        def fast() -> bool:
            with contextlib.suppress(LabError, OSError, subprocess.SubprocessError):  # the node may be cut
                return self._train(switch, iops) < FELT * waits_s(iops)
            return False

        return fast

    def _failed_end(self, switch: ContainerSwitch, entry: Record, last: Record) -> tuple[bool, list[str]]:
        """Return whether the node is back from another boot, and what is left; the last one ends it."""
        if self._held_beside("fail"):
            return True, []
        back = self._await(switch, entry)
        last["boot_id_after"] = switch.boot_id()
        left = ["the disk still fails"] if disk.fails(switch.node.paths) else []
        return back and last["boot_id_after"] != entry["boot_id"], left

    def _take_back(self, switch: ContainerSwitch, entry: Record) -> None:
        with switch.exclusively():
            if self._slow:
                _set(switch, slowest(self._others()))
                return
            if self._held_beside("fail"):
                return
            if disk.fails(switch.node.paths):
                switch.cut()  # the disk is mounted anew when the node is switched on
        self._switch_on(switch, entry)

    def _train_file(self, switch: ContainerSwitch) -> Path:
        return _train_file(switch, self.fault)

    def _train(self, switch: ContainerSwitch, iops: int) -> float:
        """Write a train of blocks to the disk; returns the seconds it took."""
        return self._writer(switch, iops)()

    def _writer(self, switch: ContainerSwitch, iops: int) -> Callable[[], float]:
        """Return what writes a train as the node's own processes do, and returns the seconds it took.

        Where to write from is asked before: that takes longer than many a train.
        """
        words = [
            "dd",
            "if=/dev/zero",
            f"of={self._train_file(switch)}",
            f"bs={BLOCK}",
            f"count={train_length(iops)}",
        ]
        words += ["oflag=direct,dsync", "conv=notrunc", "status=none"]
        join = _joined(switch)

        def write() -> float:
            began_s = time.monotonic()
            run(words, preexec=join)
            return time.monotonic() - began_s

        return write

    @staticmethod
    def ails(switch: ContainerSwitch, entry: Record) -> bool:
        """Whether the node's disk is still slow or fails."""
        if entry["action"] == "slow":
            return _held(switch) is not None
        return disk.fails(switch.node.paths) or not switch.running()

    @staticmethod
    def heal(switch: ContainerSwitch, entry: Record, others: list[Record]) -> None:
        """Have the disk as it was, or as others want it, whatever the plan was; the lab is locked."""
        if entry["action"] == "slow":
            _set(switch, slowest(others))
            with contextlib.suppress(OSError):  # the disk may fail as well
                _train_file(switch, entry).unlink(missing_ok=True)
            return
        if disk.fails(switch.node.paths):
            switch.cut()
        switch.on(entry["note"])


def _train_file(switch: ContainerSwitch, fault: Record) -> Path:
    """Return what the trains of a fault are written to, out of its journal or its program."""
    return Path(switch.node.paths.disk / f"train-{fault['id']}")


def _limit_of(switch: ContainerSwitch) -> DiskLimit:
    limit = switch.node.disk_limit()
    if limit is None:
        if not switch.running():
            raise LabError(f"{switch.name} is off: with cgroup v2 a limit is its processes'")
        raise LabError("this machine's control groups have no limit for one disk (blkio of v1, io of v2)")
    return limit


def _limit_now(switch: ContainerSwitch) -> Optional[DiskLimit]:
    """Return where the disk can be limited, None while its node is off: with v2 its group is gone."""
    with contextlib.suppress(LabError, OSError):
        return switch.node.disk_limit()
    return None


def _held(switch: ContainerSwitch) -> Optional[int]:
    """Return the limit that holds right now, None for none."""
    limit = _limit_now(switch)
    with contextlib.suppress(OSError):
        return None if limit is None else limit.get()
    return None


def _set(switch: ContainerSwitch, iops: Optional[int]) -> None:
    """Limit the disk, or no more; does nothing while there is nothing to limit."""
    limit = _limit_now(switch)
    if limit is not None:
        limit.set(iops)


def _joined(switch: ContainerSwitch) -> Optional[Callable[[], None]]:
    """Return what moves a process to where a limit of cgroup v2 holds it, None where none is needed."""
    limit = _limit_now(switch)
    group = switch.innermost_group() if limit is not None and limit.version == 2 else None
    if group is None:
        return None
    procs = group / "cgroup.procs"

    def join() -> None:
        procs.write_text("0", encoding="utf-8")

    return join
