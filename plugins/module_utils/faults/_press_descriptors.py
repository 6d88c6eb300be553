# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pressure on the descriptors of a unit: none are left."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.agent import own_limits, processes
from ansible_collections.foundation.testbed.plugins.module_utils.faults._press import Press
from ansible_collections.foundation.testbed.plugins.module_utils.faults._press_unit import (
    living,
    not_running,
    records,
)

# Percent by which the share of descriptors in use may be below its target.
TOLERANCE = 5.0
# Seconds between two connections that ask whether they are accepted, and until one is.
ASK_S, ACCEPT_S = 1.0, 0.1


def lowered(open_numbers: Iterable[int], target: float, soft: int) -> int:
    """Return the limit of descriptors of which so many percent are in use: at 100, the first free one."""
    used = set(open_numbers)
    free = next(number for number in range(len(used) + 1) if number not in used)
    wanted = free if target >= 100 else -(-len(used) * 100 // int(target))
    return max(min(wanted, soft), 1)


def share_in_use(open_numbers: Iterable[int], limit: int) -> float:
    """Percent of the numbers below a limit that are in use; 100 is where nothing can be opened."""
    return 100 * sum(number < limit for number in set(open_numbers)) / max(limit, 1)


def parse_limit(limits: str) -> tuple[int, int]:
    """Soft and hard limit of open files out of /proc/PID/limits; raises ValueError."""
    match = re.search(r"^Max open files\s+([0-9]+)\s+([0-9]+)", limits, re.MULTILINE)
    if not match:
        raise ValueError("no limit of open files")
    return int(match[1]), int(match[2])


def parse_listeners(table: str, inodes: set[int]) -> dict[tuple[str, int], int]:
    """Address and connections not yet accepted of each listener among some sockets, out of /proc/net/tcp."""
    found = {}
    for line in table.splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and int(fields[9]) in inodes:
            address, port = fields[1].split(":")
            # The kernel writes an address as words of the machine's own order; IPv6 ends with the IPv4 part.
            host = socket.inet_ntoa(int(address[-8:], 16).to_bytes(4, sys.byteorder))
            found[(host if host != "0.0.0.0" else "127.0.0.1", int(port, 16))] = int(
                fields[4].split(":")[1], 16
            )
    return found


class DescriptorPress(Press):
    """The limit of open files of a unit's processes is lowered to what they have open."""

    def __init__(self, name: str, program: Mapping[str, Any], left_s: float):
        super().__init__(name, program, left_s)
        self.unit: str = program["unit"]
        self.target = float(program["target"])
        self.limits: list[dict[str, Any]] = []
        self.most = 0.0
        self.asked_s = 0.0
        self.accepting = {"asked": 0, "not_accepted": 0}
        self.listens = False

    @staticmethod
    def capable(program: Mapping[str, Any]) -> list[str]:
        """Whether the unit runs."""
        missing = [] if shutil.which("prlimit") else ["resource: prlimit (util-linux) is not installed"]
        return missing + not_running(program["unit"])

    def before(self) -> dict[str, Any]:
        """The limits as they were before any fault of ours, and as they will be."""
        known = {
            (each["pid"], each["start"]): each["soft"]
            for undo in records(self.name)
            for each in undo.get("limits", [])
        }
        for process in processes.of_units([self.unit]):
            with contextlib.suppress(OSError, ValueError):
                soft, hard = _limit(process.pid)
                soft = known.get(process.key, soft)
                self.limits.append(
                    {
                        "pid": process.pid,
                        "start": process.start,
                        "soft": soft,
                        "hard": hard,
                        "lowered": lowered(_open_numbers(process.pid), self.target, soft),
                    }
                )
        return {"unit": self.unit, "limits": self.limits}

    def apply(self) -> None:
        """Lower them; raises RuntimeError where the kernel refuses."""
        if not self.limits:
            raise RuntimeError(f"{self.unit} has no process any more")
        for each in self.limits:
            process = processes.read_process(each["pid"])
            if process is not None and process.start == each["start"]:
                present, hard = _limit(each["pid"])
                set_limit(each["pid"], min(each["lowered"], present), hard)

    def observe(self) -> None:
        """Look at what is in use, and ask a listener for a connection now and then."""
        self.most = max(self.most, self._percent())
        if time.monotonic() - self.asked_s > ASK_S:
            self.asked_s = time.monotonic()
            self._ask()

    def _ask(self) -> None:
        """Connect to a listener of the unit: without a descriptor it leaves the connection in the queue."""
        own = self._own()
        inodes = {inode for each in own for inode in _sockets(each["pid"])}
        address = next(iter(_listeners(inodes)), None)
        if address is None:
            return
        self.listens = True
        with contextlib.suppress(OSError), socket.create_connection(address, timeout=ACCEPT_S):
            time.sleep(ACCEPT_S)
            self.accepting["asked"] += 1
            self.accepting["not_accepted"] += _listeners(inodes).get(address, 0) > 0

    def _own(self) -> list[dict[str, Any]]:
        """Processes that live with the limit we set, or a lower one of another fault of ours."""
        own = []
        for each in self.limits:
            with contextlib.suppress(OSError, ValueError):
                process = processes.read_process(each["pid"])
                if process and process.start == each["start"] and _limit(each["pid"])[0] <= each["lowered"]:
                    own.append(each)
        return own

    def _percent(self) -> float:
        shares = [0.0]
        for each in self._own():
            with contextlib.suppress(OSError):
                shares.append(share_in_use(_open_numbers(each["pid"]), each["lowered"]))
        return round(max(shares), 1)

    def evidence(self) -> dict[str, Any]:
        """Whether the limits are ours, how much of them is in use, and whether connections are accepted."""
        own, percent = self._own(), self._percent()
        # The limit is set to what is open, so the share shows little: only somebody who is not heard does.
        felt = not (self.target >= 100 and self.listens) or self.accepting["not_accepted"] > 0
        return {
            "present": bool(own),
            "effective": felt and max(self.most, percent) >= self.target - TOLERANCE,
            "measured": "connections not accepted"
            if self.target >= 100 and self.listens
            else "share of the lowered limit in use",
            "target_percent": self.target,
            "percent": percent,
            "highest_percent": max(self.most, percent),
            "processes": [{key: each[key] for key in ("pid", "soft", "lowered")} for each in own[:10]],
            "connections": dict(self.accepting),
        }

    @staticmethod
    def revert(undo: Mapping[str, Any]) -> None:
        """Give back the limits, also to what our processes have begun since; others' faults keep theirs."""
        others = [each for other in records(undo["name"]) for each in other.get("limits", [])]
        known = {(each["pid"], each["start"]): each for each in undo["limits"]}
        inherited = {each["lowered"]: each for each in undo["limits"]}
        left = [process for key in known if (process := living(*key)) is not None]
        for process in {*left, *processes.of_units([undo["unit"]])}:
            with contextlib.suppress(OSError, ValueError):
                soft, hard = _limit(process.pid)
                ours = known.get(process.key) or inherited.get(soft)
                if ours is None:
                    continue
                kept = [each["lowered"] for each in others if (each["pid"], each["start"]) == process.key]
                wanted = min([ours["soft"], hard, *kept])
                if wanted != soft:
                    set_limit(process.pid, wanted, hard)


def set_limit(pid: int, soft: int, hard: int) -> None:
    """Set a process's limit of open files, as its own user, which needs no CAP_SYS_RESOURCE."""
    status = Path(f"/proc/{pid}/status").read_text(errors="replace")
    done = subprocess.run(
        ["prlimit", f"--pid={pid}", f"--nofile={soft}:{hard}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
        user=own_limits.key_of(status, "Uid"),
        group=own_limits.key_of(status, "Gid"),
        extra_groups=[],
    )
    if done.returncode != 0 and Path(f"/proc/{pid}").exists():
        raise RuntimeError(f"prlimit: {done.stderr.strip()}")


def _limit(pid: int) -> tuple[int, int]:
    return parse_limit(Path(f"/proc/{pid}/limits").read_text(encoding="ascii"))


def _open_numbers(pid: int) -> list[int]:
    return [int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()]


def _sockets(pid: int) -> set[int]:
    """Inodes of the sockets that a process has open."""
    found = set()
    for number in _open_numbers(pid):
        with contextlib.suppress(OSError):
            match = re.fullmatch(r"socket:\[([0-9]+)\]", str(Path(f"/proc/{pid}/fd/{number}").readlink()))
            if match:
                found.add(int(match[1]))
    return found


def _listeners(inodes: set[int]) -> dict[tuple[str, int], int]:
    found: dict[tuple[str, int], int] = {}
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            found.update(parse_listeners(Path(f"/proc/net/{name}").read_text(encoding="ascii"), inodes))
    return found
