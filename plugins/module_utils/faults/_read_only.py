# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Paths that are read-only for a while: bind mounts of a path on itself, one for all faults that want it.

What is mounted is written down in memory, by the mount's own number: nobody else's mount is ever taken away.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.agent import mounts
from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import (
    read_all,
    read_json,
    write_json,
)

FOLDER = Path("/run/foundation-testbed/storage")
MOUNTED = FOLDER / "mounted.json"
PROBE = ".foundation-testbed-probe"

Entry = dict[str, Any]


def records() -> list[Entry]:
    """The faults that want a path read-only: `{"trace", "path", ...}`."""
    return [entry for entry in read_all(FOLDER) if "trace" in entry]  # beside what is mounted


def record(trace: str) -> Optional[Entry]:
    """What one fault wants, None where it wants nothing."""
    return next((entry for entry in records() if entry["trace"] == trace), None)


def begin(entry: Entry) -> None:
    """Make a path read-only; raises RuntimeError."""
    with mounts.alone_in(FOLDER):
        write_json(FOLDER / f"{entry['trace']}.json", entry)
        _bring_about()


def end(trace: str) -> None:
    """Have a fault want nothing any more; raises RuntimeError."""
    with mounts.alone_in(FOLDER):
        (FOLDER / f"{trace}.json").unlink(missing_ok=True)
        _bring_about()


def mounted() -> list[Entry]:
    """Mounts that are ours, in the order in which they were made: `{"path", "under", "number"}`."""
    return read_json(MOUNTED) or []


def nested(paths: Iterable[str]) -> bool:
    """Whether one of the paths lies below another. Pure."""
    ordered = sorted(f"{path}/" for path in set(paths))
    return any(after.startswith(before) for before, after in zip(ordered, ordered[1:]))


def steps(have: Sequence[str], wanted: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return which paths to unmount and which to mount, in order. Pure.

    A mount that lies below another one cannot be reached while that is there: then all are made anew.
    """
    ordered = sorted(set(wanted), key=lambda path: path.count("/"))
    if list(have) == ordered:
        return [], []
    if nested([*have, *ordered]):
        return list(reversed(have)), ordered
    return [path for path in reversed(have) if path not in ordered], [p for p in ordered if p not in have]


def _bring_about() -> None:
    """Bring about what the records want; the caller is alone in the folder."""
    ours = [entry for entry in mounted() if _there(entry)]
    take, make = steps([entry["path"] for entry in ours], [entry["path"] for entry in records()])
    for path in take:
        entry = next(entry for entry in ours if entry["path"] == path)
        _unmount(entry)
        ours.remove(entry)
        _write(ours)
    for path in make:
        ours.append({"path": path, "under": _top_number(path), "number": None})
        _write(ours)  # so that a mount is known even if nobody comes to write down its number
        mounts.bind(path, path)
        ours[-1]["number"] = _top_number(path)
        _write(ours)
        mounts.remount(path, read_only=True)
    _write(ours)


def _write(ours: list[Entry]) -> None:
    if ours:
        write_json(MOUNTED, ours)
    else:
        MOUNTED.unlink(missing_ok=True)


def _top_number(path: str) -> Optional[int]:
    top = mounts.on_top(mounts.mounts(), path)
    return None if top is None else top.number


def _there(entry: Entry) -> bool:
    """Whether a mount of ours is still there, on top or not."""
    if entry["number"] is None:
        return bool(_top_number(entry["path"]) != entry["under"])
    return any(mount.number == entry["number"] and mount.point == entry["path"] for mount in mounts.mounts())


def _unmount(entry: Entry) -> None:
    path = entry["path"]
    if entry["number"] not in (None, _top_number(path)):
        raise RuntimeError(f"somebody else has mounted something over our {path}: take that away first")
    mounts.remount(path, read_only=False)  # for who still uses it from within
    mounts.unmount(path)


def holds(path: str) -> bool:
    """Whether a read-only mount of ours is what is seen at a path."""
    top = mounts.on_top(mounts.mounts(), path)
    return top is not None and top.read_only and top.number in [entry["number"] for entry in mounted()]


def refuses(path: str, pid: Optional[int] = None) -> Optional[bool]:
    """Try to write as a process would that sees what `pid` sees; None when it cannot be tried."""
    seen = Path(path if pid is None else f"/proc/{pid}/root{path}")
    try:
        target = seen / PROBE if seen.is_dir() else seen
        extra = os.O_CREAT | os.O_EXCL if target != seen else os.O_APPEND
        os.close(os.open(target, os.O_WRONLY | extra, 0o600))
    except OSError as error:
        return True if error.errno == errno.EROFS else None
    if target != seen:
        with contextlib.suppress(OSError):
            target.unlink()
    return False
