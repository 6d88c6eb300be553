# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Two files on a node's disk that tell whether a power cut lost what was not fsynced, and only that."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar, Optional

CONTENT = b"written" * 512


class Witness:
    """One file that is fsynced before the cut, and one that is not."""

    # Whether it can be read while the node is off.
    needs_no_node: ClassVar[bool] = False

    def write(self) -> None:
        """Write both, right before the cut. Raises LabError."""
        raise NotImplementedError

    def read(self) -> Optional[dict[str, bool]]:
        """Return what became of them, `synced_kept` and `unsynced_lost`; None while nobody can tell."""
        raise NotImplementedError

    def remove(self) -> None:
        """Leave none of them. Raises LabError."""
        raise NotImplementedError


class DiskWitness(Witness):
    """Both on a disk that is mounted on this machine."""

    needs_no_node: ClassVar[bool] = True

    def __init__(self, path: Path):
        self.synced, self.unsynced = path.with_suffix(".synced"), path.with_suffix(".unsynced")

    def write(self) -> None:
        """Write both, right before the cut."""
        for path in (self.synced, self.unsynced):
            with path.open("wb") as file:
                file.write(CONTENT)
                file.flush()
                if path == self.synced:
                    os.fsync(file.fileno())
        # the name of the synced file as well; what the other holds has no place on the disk yet
        folder = os.open(self.synced.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def read(self) -> Optional[dict[str, bool]]:
        """Return what became of them; the disk is mounted, whether the node runs or not."""
        return {
            "synced_kept": _content(self.synced) == CONTENT,
            "unsynced_lost": _content(self.unsynced) != CONTENT,
        }

    def remove(self) -> None:
        """Leave none of them."""
        for path in (self.synced, self.unsynced):
            path.unlink(missing_ok=True)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
