# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pressure on the memory of a unit until the kernel kills it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.agent import (
    own_limits,
    processes,
    service_units,
)
from ansible_collections.foundation.testbed.plugins.module_utils.agent.processes import Process
from ansible_collections.foundation.testbed.plugins.module_utils.faults import _load
from ansible_collections.foundation.testbed.plugins.module_utils.faults._press import NO_LIMIT, Press
from ansible_collections.foundation.testbed.plugins.module_utils.faults._press_unit import living, not_running

# Seconds in which the kernel has to kill.
KILL_S = 10.0
# The score that makes a process the first victim.
FIRST = 1000


class OomPress(Press):
    """The kernel kills the main process of a unit for want of memory."""

    def __init__(self, name: str, program: Mapping[str, Any], left_s: float):
        super().__init__(name, program, left_s)
        self.unit: str = program["unit"]
        self.victim: Optional[Process] = None
        self.kills = self.kills_after = 0
        self.limit = own_limits.memory_limit() or 0
        self.kill_ms: Optional[float] = None
        self.highest = 0
        self.own_group: Optional[Path] = None
        self.result = ""

    @staticmethod
    def capable(program: Mapping[str, Any]) -> list[str]:
        """Whether the unit runs, and the node has a limit, or the unit a group of its own."""
        reasons = not_running(program["unit"])
        if own_limits.memory_limit() is None and group_of(program["unit"]) is None:
            reasons.append(NO_LIMIT.format("memory"))
        if own_limits.oom_kills() is None:
            reasons.append("resource: this node cannot see whom the kernel kills; allowed: a node that can")
        return reasons

    def before(self) -> dict[str, Any]:
        """The victim with its score, and the unit with its limit."""
        (state,) = service_units.show([self.unit])
        main = processes.read_process(state.main_pid) if state.main_pid else None
        self.victim = main or next(iter(processes.of_units([self.unit])), None)
        self.own_group = group_of(self.unit)
        score = _score(self.victim.pid) if self.victim else 0
        return {
            "unit": self.unit,
            "was_wanted": state.wanted,
            "victim": {"pid": self.victim.pid, "start": self.victim.start, "score": score}
            if self.victim
            else None,
            "group": str(self.own_group) if self.own_group else None,
            "group_max": (self.own_group / "memory.max").read_text().strip() if self.own_group else None,
        }

    def apply(self) -> None:
        """Have it killed; raises RuntimeError when the kernel does not."""
        if self.victim is None:
            raise RuntimeError(f"{self.unit} has no process any more")
        self.kills = own_limits.oom_kills() or 0
        self.began_s = time.monotonic()
        if self.own_group is not None:
            self._squeeze(self.own_group)
        else:
            self._lead(self.victim)
        if self.kill_ms is None:
            raise RuntimeError(
                f"the kernel has not killed {self.victim.name} ({self.victim.pid}) in {KILL_S:g} s"
            )
        self.kills_after = own_limits.oom_kills() or 0

    def _squeeze(self, group: Path) -> None:
        """Lower the unit's own limit below what it uses, and give it back as soon as it has been killed."""
        limit = group / "memory.max"
        value = limit.read_text().strip()
        used = int((group / "memory.current").read_text())
        self.highest = used
        try:
            descriptor = os.open(limit, os.O_WRONLY | os.O_NONBLOCK)
            try:
                os.write(descriptor, str(max(used // 4, 2**20)).encode())
            finally:
                os.close(descriptor)
            self._await_kill()
        finally:
            with contextlib.suppress(OSError):  # the unit may be gone, and its group with it
                limit.write_text(value)

    def _lead(self, victim: Process) -> None:
        """Make it the first victim, and use the node's memory up."""
        set_score(victim, FIRST)
        job = {"resource": "oom", "pid": victim.pid, "bytes": self.limit + 2**26, "left_s": KILL_S}
        self.child = _load.Child(self.name, job)
        try:
            self._await_kill()
        finally:
            self.child.end()
            self.highest = max(self.highest, own_limits.memory_used() or 0)

    def _await_kill(self) -> None:
        """Wait until the victim is gone and the kernel has counted it."""
        while self.victim is not None and time.monotonic() < self.began_s + KILL_S:
            if self.child is not None:
                self.highest = max(self.highest, own_limits.memory_used() or 0)
            if not processes.lives(self.victim) and (own_limits.oom_kills() or 0) > self.kills:
                self.kill_ms = round((time.monotonic() - self.began_s) * 1000, 1)
                return
            time.sleep(0.01)

    def evidence(self) -> dict[str, Any]:
        """That the victim is gone, and the kernel's own count."""
        gone = self.victim is not None and not processes.lives(self.victim)
        killed = self.kills_after - self.kills
        if not self.result:
            shown = service_units.systemctl("show", "--property=Result", "--value", self.unit).stdout.strip()
            self.result = shown if shown != "success" else ""
        return {
            "present": gone and self.kill_ms is not None,
            "effective": gone and killed > 0,
            "victim": self.victim.shown() if self.victim else None,
            "killed_by_kernel": killed,
            "kill_ms": self.kill_ms,
            "used_highest": self.highest,
            "limit": self.limit,
            "unit_result": self.result,
            "mechanism": "the unit's own limit" if self.own_group else "the node's limit, the unit first",
        }

    @staticmethod
    def revert(undo: Mapping[str, Any]) -> None:
        """Give back score and limit, and have the unit run again."""
        _load.kill_marked(undo["name"])
        victim = undo["victim"]
        process = living(victim["pid"], victim["start"]) if victim else None
        if process is not None:
            set_score(process, victim["score"])
        if undo["group"] is not None:
            with contextlib.suppress(OSError):
                limit = Path(undo["group"]) / "memory.max"
                if limit.read_text().strip() != undo["group_max"]:
                    limit.write_text(undo["group_max"])
        (state,) = service_units.show([undo["unit"]])
        if undo["was_wanted"] and not state.wanted:
            service_units.systemctl("reset-failed", undo["unit"])
            service_units.start([undo["unit"]])


def group_of(unit: str) -> Optional[Path]:
    """The group of a unit that has a limit of memory of its own, which we may write; None for none."""
    below = (
        service_units.systemctl("show", "--property=ControlGroup", "--value", unit).stdout.strip().lstrip("/")
    )
    place = own_limits.unified()
    group = place / below if place is not None and below else None
    return group if group is not None and os.access(group / "memory.max", os.W_OK) else None


def set_score(process: Process, score: int) -> None:
    """Set how soon the kernel kills a process."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        Path(f"/proc/{process.pid}/oom_score_adj").write_text(str(score), encoding="ascii")


def _score(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text(encoding="ascii"))
