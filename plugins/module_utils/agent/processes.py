# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Processes of this node: which belong to a unit, which match a pattern, and signals that reach no other.

A process is its number and its start time: numbers are used again, both together are not.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

PROC = Path("/proc")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# States of a process that does nothing any more: a zombie, or dead.
ENDED = "ZX"
# What a fault never touches: without it nobody could reach the node, or take the fault back. What a user
# began over ssh lives in the unit of ssh where no session is registered, and is no part of it.
_CORE = r"(dbus(-broker)?|systemd-.*|user@.*|getty@.*|foundation-testbed-.*)\.(service|scope)|init\.scope"
PROTECTED_GROUPS = re.compile(_CORE)
PROTECTED_UNITS = re.compile(rf"{_CORE}|sshd?(@.*)?\.service")
PROTECTED_NAMES = re.compile(r"sshd.*|systemd.*|\(sd-pam\)|\(.*\)|dbus-daemon|dbus-broker.*|init|agetty")
_UNIT = re.compile(r"[^/]+\.(?:service|scope)$")


@dataclass(frozen=True)
class Process:
    """One process as it was when it was looked at; `start` are clock ticks since the boot."""

    pid: int
    start: int
    name: str
    state: str
    unit: str = ""

    @property
    def key(self) -> tuple[int, int]:
        """What tells it from a later process of the same number."""
        return self.pid, self.start

    @property
    def started_s(self) -> float:
        """Seconds from the boot to its start."""
        return self.start / TICKS_PER_S

    @property
    def stopped(self) -> bool:
        """Whether a signal has stopped it."""
        return self.state == "T"

    def shown(self) -> dict[str, Any]:
        """Return it for the ledger."""
        return {
            "pid": self.pid,
            "name": self.name,
            "started_s": self.started_s,
            **({"unit": self.unit} if self.unit else {}),
        }


def parse_stat(text: str) -> tuple[str, str, int]:
    """Name, state and start (ticks since the boot) out of the text of /proc/PID/stat; raises ValueError."""
    opened, closed = text.index("("), text.rindex(")")
    fields = text[closed + 1 :].split()
    return text[opened + 1 : closed], fields[0], int(fields[19])


def parse_unit(text: str) -> str:
    """Unit of a process out of the text of /proc/PID/cgroup, as systemd arranges groups; empty for none."""
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "name=systemd"):
            for part in path.split("/"):
                if _UNIT.search(part):
                    return part
    return ""


def read_process(pid: int) -> Optional[Process]:
    """Return a process that lives, or None."""
    try:
        name, state, start = parse_stat((PROC / str(pid) / "stat").read_text(errors="replace"))
        unit = parse_unit((PROC / str(pid) / "cgroup").read_text())
    except (OSError, ValueError):
        return None
    return None if state in ENDED else Process(pid, start, name, state, unit)


def command_line(pid: int) -> str:
    """Return the words of a process's command, with spaces between; empty for a thread of the kernel."""
    try:
        raw = (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return ""
    return raw.rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")


def everyone() -> list[int]:
    """Every process number of this node."""
    return [int(path.name) for path in PROC.iterdir() if path.name.isdigit()]


def of_units(units: Iterable[str]) -> list[Process]:
    """Return the processes that live in these units."""
    wanted = set(units)
    found = (read_process(pid) for pid in _candidates(wanted))
    return [process for process in found if process is not None and process.unit in wanted]


def matching(pattern: str) -> list[Process]:
    """Return the processes whose command line a regular expression finds, without what no fault touches."""
    expression, spared = re.compile(pattern), {1, *_ancestry(os.getpid())}
    found = []
    for pid in everyone():
        if pid in spared or not expression.search(command_line(pid)):
            continue
        process = read_process(pid)
        if process is not None and command_line(pid) and not protected(process):
            found.append(process)
    return found


def protected(process: Process) -> bool:
    """Whether a fault never touches it: PID 1, the agent, ssh and systemd's own."""
    return (
        process.pid == 1
        or PROTECTED_NAMES.fullmatch(process.name) is not None
        or PROTECTED_GROUPS.fullmatch(process.unit) is not None
    )


def lives(process: Process) -> bool:
    """Whether this very process still lives."""
    now = read_process(process.pid)
    return now is not None and now.start == process.start


def send(process: Process, number: int) -> bool:
    """Send a signal to this very process; returns whether it was there to get it."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    except (AttributeError, OSError):  # older than Linux 5.3, or a filter forbids it: the number has to do
        return lives(process) and _kill(process.pid, number)
    try:
        if not lives(process):
            return False
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def _kill(pid: int, number: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False


def _candidates(units: set[str]) -> set[int]:
    """Process numbers in the groups of units, without a look at every process of the node."""
    found: set[int] = set()
    for top in _hierarchies():
        for unit in units:
            for group in (*top.glob(f"*.slice/{unit}"), *top.glob(f"*.slice/*.slice/{unit}")):
                for folder, _, _ in os.walk(group):
                    with contextlib.suppress(OSError):
                        found.update(map(int, Path(folder, "cgroup.procs").read_text().split()))
    return found - {0, 1}


def _hierarchies() -> list[Path]:
    """Where systemd's own hierarchies of groups are mounted."""
    found = []
    for line in (PROC / "self" / "mounts").read_text().splitlines():
        _, place, kind, options, *_ = line.split()
        if kind == "cgroup2" or (kind == "cgroup" and "name=systemd" in options.split(",")):
            found.append(Path(place))
    return found


def _ancestry(pid: int) -> list[int]:
    """A process and those that it comes from."""
    found = []
    while pid > 1:
        found.append(pid)
        try:
            text = (PROC / str(pid) / "stat").read_text(errors="replace")
            pid = int(text[text.rindex(")") + 1 :].split()[1])
        except (OSError, ValueError):
            break
    return found
