# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A disk of its own for a node: an ext4 file system in a sparse file, so that a full node fills nothing else.

Overlayfs needs a node's upper and work folders on one file system; both lie on this one.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from pathlib import Path
from typing import Optional

from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError, run, wait_until
from ansible_collections.foundation.testbed.plugins.module_utils.lab.disk_limit import DiskLimit, disk_limit
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import NodePaths

# One inode for so many bytes: a node writes few files, and a fault can use all inodes up within a second.
BYTES_PER_INODE = 131072
# Seconds in which the kernel lets go of a disk whose last user has been killed.
RELEASE_S = 20.0
# What ext4 takes to stop at once, as xfstests asks it: nothing in memory reaches the disk any more.
EXT4_IOC_SHUTDOWN, NO_LOG_FLUSH = 0x8004587D, struct.pack("I", 2)


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
        with contextlib.suppress(LabError):  # what is cached twice is written later, and slows a sync down
            run(["losetup", "--direct-io=on", device(paths)])


def await_release(paths: NodePaths) -> None:
    """Wait until the kernel has let go of an unmounted disk; mounted before, it would be as it was."""
    attached = ["losetup", "--noheadings", "--output=NAME", f"--associated={paths.disk_image}"]
    if not wait_until(lambda: not run(attached).strip(), RELEASE_S):
        raise LabError(f"something still uses the disk {paths.disk_image} after {RELEASE_S:g} s")


def device(paths: NodePaths) -> str:
    """Return the loop device that is mounted; raises LabError where none is."""
    return run(["findmnt", "--noheadings", "--output=SOURCE", f"--mountpoint={paths.disk}"]).strip()


def limit(paths: NodePaths, group: Optional[Path]) -> Optional[DiskLimit]:
    """Return where the mounted disk can be limited; `group` is the node's own of cgroup v2."""
    rdev = Path(device(paths)).stat().st_rdev
    mounts = Path("/proc/mounts").read_text(encoding="utf-8")
    return disk_limit(f"{os.major(rdev)}:{os.minor(rdev)}", group, mounts)


def shut_down(paths: NodePaths) -> None:
    """Have the disk fail until it is mounted anew: every access answers EIO, what is not written is lost."""
    handle = os.open(paths.disk, os.O_RDONLY)
    try:
        fcntl.ioctl(handle, EXT4_IOC_SHUTDOWN, NO_LOG_FLUSH)
    except OSError as error:
        raise LabError(f"the kernel does not let the disk {paths.disk} fail: {error}") from error
    finally:
        os.close(handle)


def fails(paths: NodePaths) -> bool:
    """Whether the disk answers EIO to who wants to make a file."""
    path = paths.disk / ".asked"
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        path.unlink()
    except OSError as error:
        return error.errno == errno.EIO
    return False


def unmount(paths: NodePaths) -> None:
    """Unmount the node's disk, which detaches its loop device; raises LabError."""
    if os.path.ismount(paths.disk):
        # with cgroup v1 the limit is the device's own: the next who gets it would be slow
        if paths.disk_image.exists() and (held := limit(paths, None)) is not None and held.get() is not None:
            held.set(None)
        run(["umount", str(paths.disk)])
