# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Small files: written so that a reader never sees half of one, read while others remove them."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from pathlib import Path
from typing import Any, Optional


def write_json(path: Path, data: Any, durable: bool = False) -> None:
    """Replace a JSON file in one piece; `durable` also forces it to the disk before returning."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        with fresh.open("w", encoding="utf-8") as file:
            json.dump(data, file, sort_keys=True)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        fresh.replace(path)
    except OSError:  # a full disk: half a file is no use to anybody
        fresh.unlink(missing_ok=True)
        raise
    if durable:  # its name too
        sync(path.parent)


def sync(path: Path) -> None:
    """Force a file, or the names in a folder, to the disk; raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_json(path: Path) -> Any:
    """Return what a JSON file holds, None where there is none; raises ValueError for what is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def read_all(folder: Path, pattern: str = "*.json") -> list[Any]:
    """Return what the JSON files of a folder hold, by name; one that vanishes, or is none, stops nobody."""
    found = []
    for path in sorted(folder.glob(pattern)):
        with contextlib.suppress(ValueError):
            found.append(read_json(path))
    return [each for each in found if each is not None]


class Lines:
    """A file that grows by whole lines, so that several processes may write and a kill loses none.

    What a full disk refuses is kept in memory, in order, until there is room.
    """

    def __init__(self, path: Path):
        self.path = path
        self._unwritten = b""
        self._lock = threading.Lock()

    def append(self, record: Any) -> None:
        """Append one record as JSON; never raises for the disk's sake."""
        with self._lock:
            self._unwritten += (json.dumps(record) + "\n").encode()
            with contextlib.suppress(OSError):
                self._write()

    @property
    def whole(self) -> bool:
        """Whether every line has reached the file."""
        return not self._unwritten

    def flush(self) -> None:
        """Write what is still in memory; raises OSError when the disk refuses."""
        with self._lock:
            self._write()

    def _write(self) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            while self._unwritten:
                self._unwritten = self._unwritten[os.write(descriptor, self._unwritten) :]
        finally:
            os.close(descriptor)

    def mend(self) -> None:
        """Cut off what a power cut left of a last line; nobody else may be writing."""
        with contextlib.suppress(FileNotFoundError):
            os.truncate(self.path, self.path.read_bytes().rfind(b"\n") + 1)

    def records(self) -> list[dict[str, Any]]:
        """Return the whole records of the file: a power cut may have left half a line."""
        if not self.path.exists():
            return []
        found = (_record(line) for line in self.path.read_bytes().split(b"\n"))
        return [record for record in found if record is not None]


def _record(line: bytes) -> Optional[dict[str, Any]]:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
