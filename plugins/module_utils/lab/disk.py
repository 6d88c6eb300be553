# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A disk of its own for a node: an ext4 file system in a sparse file, so that a full node fills nothing else.

Overlayfs needs a node's upper and work folders on one file system; both lie on this one.
"""

from __future__ import annotations

import contextlib
import os
from typing import Optional

from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError, run
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import NodePaths

# One inode for so many bytes: a node writes few files, and a fault can use all inodes up within a second.
BYTES_PER_INODE = 131072


def make(paths: NodePaths, size_bytes: Optional[int]) -> None:
    """Lay out a node's disk: an empty file system of that size, or just a folder; raises LabError."""
    paths.disk.mkdir(parents=True, exist_ok=True)
    if size_bytes is None or paths.disk_image.exists():
        return
    fresh = paths.disk_image.with_suffix(".new")
    with fresh.open("wb") as file:
        file.truncate(size_bytes)
    run(mkfs_command(str(fresh)))
    fresh.rename(paths.disk_image)


def mkfs_command(image: str) -> list[str]:
    """Return the command that makes the file system: nothing reserved for root, the journal not zeroed.

    The few inodes are zeroed at once: the kernel would do it later, and keep new files waiting.
    """
    extended = "lazy_itable_init=0,lazy_journal_init=1,nodiscard"
    return ["mkfs.ext4", "-q", "-F", "-m", "0", "-i", str(BYTES_PER_INODE), "-E", extended, image]


def mount(paths: NodePaths) -> None:
    """Mount the node's disk unless it is mounted, or is just a folder; raises LabError."""
    if paths.disk_image.exists() and not os.path.ismount(paths.disk):
        run(["mount", "-t", "ext4", "-o", "loop,noatime,discard", str(paths.disk_image), str(paths.disk)])
        device = run(["findmnt", "--noheadings", "--output=SOURCE", f"--mountpoint={paths.disk}"]).strip()
        with contextlib.suppress(LabError):  # what is cached twice is written later, and slows a sync down
            run(["losetup", "--direct-io=on", device])


def unmount(paths: NodePaths) -> None:
    """Unmount the node's disk, which detaches its loop device; raises LabError."""
    if os.path.ismount(paths.disk):
        run(["umount", str(paths.disk)])
