# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Markers of faults of processes: each holds an undo record, and lets work go on while it is there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import read_all

MARKERS = Path("/run/foundation-testbed/process")


def marker_name(run: str, fault: str) -> str:
    """Name of a fault's marker, without its ending."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", f"{run}.{fault}")


def marker_of(name: str) -> Path:
    """Return the file of a marker."""
    return MARKERS / f"{name}.json"


def others(name: str) -> list[dict[str, Any]]:
    """Undo records of all faults of this kind that hold on this node, but for one."""
    return [undo for undo in read_all(MARKERS) if undo["name"] != name]


@contextlib.contextmanager
def held(marker: Path) -> Iterator[bool]:
    """Keep a marker as it is; tells whether it is there."""
    try:
        file = marker.open(encoding="utf-8")
    except FileNotFoundError:
        yield False
        return
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield os.fstat(file.fileno()).st_nlink > 0


class Keeper(threading.Thread):
    """Does a step again and again, for as long as a marker is there."""

    def __init__(self, marker: Path, step: Callable[[], None], interval_s: float):
        super().__init__(daemon=True)
        self.marker, self.step, self.interval_s = marker, step, interval_s

    def run(self) -> None:
        """Keep to the interval, whatever a step takes."""
        due_s = time.monotonic()
        while True:
            due_s = max(due_s + self.interval_s, time.monotonic())
            time.sleep(max(due_s - time.monotonic(), 0))
            with held(self.marker) as there:
                if not there:
                    return
                self.step()
