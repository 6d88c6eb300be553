# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Service units of this node, as systemd tells of them and lets them start and stop."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

PROPERTIES = (
    "Id,LoadState,ActiveState,SubState,MainPID,NRestarts,InvocationID,ActiveEnterTimestampMonotonic,Job"
)
# How often it is asked whose command a signal ended.
ASK_AGAIN = 5
STARTING = ("active", "activating", "reloading")


@dataclass(frozen=True)
class UnitState:
    """One unit at one moment; `active_at_s` is when it last became active, on the monotonic clock."""

    name: str
    load: str
    active: str
    sub: str
    main_pid: int
    restarts: int
    invocation: str
    active_at_s: float
    job: bool

    @property
    def up(self) -> bool:
        """Whether it runs, or is about to and has a process for it."""
        return self.active in ("active", "reloading") or (self.active == "activating" and self.main_pid > 0)

    @property
    def wanted(self) -> bool:
        """Whether it runs, starts, or waits for its own supervision to start it again."""
        return self.active in STARTING


def parse_show(text: str) -> list[UnitState]:
    """States out of what `systemctl show` prints for several units: blocks of lines."""
    blocks = [block for block in re.split(r"\n\s*\n", text) if block.strip()]
    return [_state(block.splitlines()) for block in blocks]


def _state(lines: Sequence[str]) -> UnitState:
    said = dict(line.split("=", 1) for line in lines if "=" in line)
    return UnitState(
        name=said.get("Id", ""),
        load=said.get("LoadState", ""),
        active=said.get("ActiveState", ""),
        sub=said.get("SubState", ""),
        main_pid=int(said.get("MainPID") or 0),
        restarts=int(said.get("NRestarts") or 0),
        invocation=said.get("InvocationID", ""),
        active_at_s=int(said.get("ActiveEnterTimestampMonotonic") or 0) / 1e6,
        job=bool(said.get("Job")),
    )


def show(names: Sequence[str]) -> list[UnitState]:
    """States of units, in the order of the names; an alias gets the name of what it stands for."""
    if not names:
        return []
    return parse_show(systemctl("show", f"--property={PROPERTIES}", "--", *names).stdout)


def services() -> list[str]:
    """Names of the services that run here, or have failed to."""
    done = systemctl("list-units", "--type=service", "--all", "--output=json", "--no-pager")
    shown = json.loads(done.stdout or "[]")
    return [unit["unit"] for unit in shown if unit["sub"] in ("running", "failed", "auto-restart")]


def stopping() -> bool:
    """Whether this node is shutting down: nothing can be started then, and need not be."""
    for _ in range(ASK_AGAIN):
        done = systemctl("is-system-running")
        if done.returncode >= 0:  # systemd, ending a unit, signals what that starts meanwhile as well
            break
    return done.stdout.strip() == "stopping"


def start(names: Sequence[str]) -> None:
    """Have units start, without waiting for it; raises RuntimeError when systemd refuses."""
    if not names:
        return
    done = systemctl("start", "--no-block", "--", *names)
    if done.returncode != 0 and not stopping():
        raise RuntimeError(f"systemctl start {' '.join(names)}: {done.stderr.strip()}")


def systemctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Ask systemd; the caller looks at the status."""
    return subprocess.run(["systemctl", *arguments], capture_output=True, text=True, check=False, timeout=20)
