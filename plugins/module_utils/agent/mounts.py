# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Mounts of this node: what lies where, what is on top, and bind mounts that are ours."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

MOUNTINFO = Path("/proc/self/mountinfo")


@dataclass(frozen=True)
class Mount:
    """One line of mountinfo: `root` is the part of its file system that is seen at `point`."""

    number: int
    parent: int
    root: str
    point: str
    options: tuple[str, ...]

    @property
    def read_only(self) -> bool:
        """Whether nothing can be written through it."""
        return "ro" in self.options


def _plain(text: str) -> str:
    """Return a path as it is: mountinfo writes blanks and the like as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def parse(mountinfo: str) -> list[Mount]:
    """Return all mounts of a mountinfo, in its order."""
    rows = [line.split(" ") for line in mountinfo.splitlines()]
    return [
        Mount(int(row[0]), int(row[1]), _plain(row[3]), _plain(row[4]), tuple(row[5].split(",")))
        for row in rows
        if len(row) > 6
    ]


def mounts(mountinfo: Path = MOUNTINFO) -> list[Mount]:
    """Return all mounts that a process sees."""
    return parse(mountinfo.read_text(encoding="utf-8", errors="surrogateescape"))


def on_top(found: Sequence[Mount], point: str) -> Optional[Mount]:
    """Return the mount that is seen at a path, None where the path is no mount point."""
    here = [mount for mount in found if mount.point == point]
    covered = {mount.parent for mount in here}
    return next((mount for mount in reversed(here) if mount.number not in covered), None)


def below(found: Sequence[Mount], path: str) -> list[str]:
    """Return the mount points that lie below a path."""
    return sorted({mount.point for mount in found if mount.point.startswith(path.rstrip("/") + "/")})


def bind(source: str, point: str) -> None:
    """Mount one path over another; raises RuntimeError."""
    _run("mount", "--bind", source, point)


def remount(point: str, read_only: bool) -> None:
    """Make a bind mount read-only, or writable again; raises RuntimeError."""
    _run("mount", "-o", f"remount,bind,{'ro' if read_only else 'rw'}", point)


def unmount(point: str) -> None:
    """Take the mount on top away, from whoever still uses it as well; raises RuntimeError."""
    _run("umount", "--lazy", point)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep all others that use a folder so out of it meanwhile; it is made when it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
