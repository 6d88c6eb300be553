# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The node's own limits of memory, processors and tasks, and what it uses of them.

A container sees its host in /proc. Its own limits are those of the control group at the root of its
namespace, where a controller is to be seen there; else those that its provider told it. The limits of a
machine are the machine. No answer (None) means that there is no limit of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, Optional

TOLD = Path("/etc/foundation-testbed/limits.json")
# Cgroup v1 says "no limit" with a number just below 2^63, rounded down to a page.
UNLIMITED = 2**62

_V1_NAMES = ("memory", "cpu", "cpuacct", "pids")


def in_container() -> bool:
    """Whether this node shares its kernel, and so the figures of /proc, with a host."""
    return Path("/run/systemd/container").exists() or Path("/run/host/container-manager").exists()


def told() -> dict[str, Any]:
    """What the provider said of this node: memory_bytes, cpus, pids, disk_bytes; empty for nothing."""
    try:
        return dict(json.loads(TOLD.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def parse_groups(mounts: str) -> dict[str, Path]:
    """Where each v1 controller, and `unified` (v2), is mounted, out of /proc/self/mounts."""
    found = {}
    for line in mounts.splitlines():
        _, place, kind, options, *_ = line.split(" ")
        if kind == "cgroup2":
            found["unified"] = Path(place)
        elif kind == "cgroup":
            found.update({name: Path(place) for name in _V1_NAMES if name in options.split(",")})
    return found


@lru_cache(maxsize=1)
def _groups() -> dict[str, Path]:
    return parse_groups(Path("/proc/self/mounts").read_text(encoding="utf-8", errors="surrogateescape"))


def _file(controller: str, v1_name: str, v2_name: str) -> Optional[str]:
    """Text of a file at the root of this node's groups, None where there is none."""
    groups = _groups()
    for place, name in ((groups.get(controller), v1_name), (groups.get("unified"), v2_name)):
        if place is not None and name:
            with contextlib.suppress(OSError):
                return (place / name).read_text(encoding="utf-8")
    return None


def key_of(text: Optional[str], key: str) -> Optional[int]:
    """Return the number after a word in a file of words and numbers."""
    match = re.search(rf"^{re.escape(key)}:?\s+([0-9]+)", text or "", re.MULTILINE)
    return int(match[1]) if match else None


def limit_of(text: Optional[str]) -> Optional[int]:
    """Return a limit as a group's file says it; None for none."""
    limit = number_of(text)
    return limit if limit is not None and limit < UNLIMITED else None


def number_of(text: Optional[str]) -> Optional[int]:
    """Return a number as a group's file says it; None for none."""
    word = (text or "").strip()
    return int(word) if word.isdigit() else None


def _meminfo(key: str) -> int:
    return (key_of(Path("/proc/meminfo").read_text(encoding="utf-8"), key) or 0) * 1024


def memory_limit() -> Optional[int]:
    """Bytes of memory that this node may use."""
    own = limit_of(_file("memory", "memory.limit_in_bytes", "memory.max"))
    if own is not None:
        return own
    return told().get("memory_bytes") if in_container() else _meminfo("MemTotal")


def memory_used() -> Optional[int]:
    """Bytes that this node uses, without page cache that the kernel takes back at once."""
    if not in_container() and limit_of(_file("memory", "memory.limit_in_bytes", "memory.max")) is None:
        return _meminfo("MemTotal") - _meminfo("MemAvailable")
    used = limit_of(_file("memory", "memory.usage_in_bytes", "memory.current"))
    stat = _file("memory", "memory.stat", "memory.stat")
    idle = key_of(stat, "total_inactive_file")
    idle = key_of(stat, "inactive_file") if idle is None else idle
    return None if used is None else max(used - (idle or 0), 0)


def oom_kills() -> Optional[int]:
    """How many processes of this node the kernel has killed for want of memory."""
    kills = key_of(_file("memory", "memory.oom_control", "memory.events"), "oom_kill")
    if kills is None and not in_container():
        kills = key_of(Path("/proc/vmstat").read_text(encoding="utf-8"), "oom_kill")
    return kills


def cpu_limit() -> Optional[float]:
    """Processors that this node may use, 1.5 for one and a half."""
    quota = _file("cpu", "cpu.cfs_quota_us", "")
    own = quota_of(quota, _file("cpu", "cpu.cfs_period_us", "")) if quota else None
    if own is None:
        words = (_file("", "", "cpu.max") or "").split()
        own = quota_of(*words) if len(words) == 2 else None
    if own is not None:
        return own
    return told().get("cpus") if in_container() else float(os.cpu_count() or 1)


def quota_of(quota: str, period: Optional[str]) -> Optional[float]:
    """Return processors out of a quota and its period, both in microseconds; None for no limit."""
    if not quota.strip().isdigit() or not (period or "").strip().isdigit():
        return None
    return int(quota) / int(period or 1)


def cpu_used_s() -> Optional[float]:
    """Seconds of processor time that this node has used since some fixed moment."""
    used_us = key_of(_file("", "", "cpu.stat"), "usage_usec")
    if used_us is not None:
        return used_us / 1e6
    used_ns = number_of(_file("cpuacct", "cpuacct.usage", ""))
    if used_ns is not None:
        return used_ns / 1e9
    if in_container():
        return None
    words = Path("/proc/stat").read_text(encoding="utf-8").split("\n", 1)[0].split()[1:9]
    idle = int(words[3]) + int(words[4])
    return (sum(map(int, words)) - idle) / os.sysconf("SC_CLK_TCK")


def pids_limit() -> Optional[int]:
    """Tasks (processes and threads) that this node may have."""
    own = limit_of(_file("pids", "pids.max", "pids.max"))
    if own is not None:
        return own
    if in_container():
        return told().get("pids")
    kernel = Path("/proc/sys/kernel")
    return min(int((kernel / name).read_text(encoding="ascii")) for name in ("threads-max", "pid_max"))


def pids_used() -> Optional[int]:
    """Tasks that this node has."""
    if limit_of(_file("pids", "pids.max", "pids.max")) is not None or in_container():
        return limit_of(_file("pids", "pids.current", "pids.current"))
    return int(Path("/proc/loadavg").read_text(encoding="ascii").split()[3].split("/")[1])


def stalled(resource: str) -> Optional[float]:
    """Percent of the last ten seconds in which some task waited for a resource: cpu, io or memory."""
    text = _file("", "", f"{resource}.pressure")
    if text is None and not in_container():
        with contextlib.suppress(OSError):
            text = Path(f"/proc/pressure/{resource}").read_text(encoding="ascii")
    match = re.search(r"^some avg10=([0-9.]+)", text or "", re.MULTILINE)
    return float(match[1]) if match else None


def unified() -> Optional[Path]:
    """Where the groups of cgroup v2 are mounted, None where they are not."""
    return _groups().get("unified")
