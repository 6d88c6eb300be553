# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether Linux lets so many nodes boot: systemd needs inotify instances, and root may have only so many."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Optional

from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError

# Instances of root's that a node takes: five of PID 1, one of logind, one to spare.
PER_NODE = 7
_LIMIT = "sys/fs/inotify/max_user_instances"


def require(nodes: int, proc: Path = Path("/proc")) -> None:
    """Raise LabError where so many more nodes would not boot."""
    problem = lack(nodes, in_use(proc), int((proc / _LIMIT).read_text()))
    if problem:
        raise LabError(problem)


def lack(nodes: int, used: int, allowed: int) -> Optional[str]:
    """Say what is missing for so many more nodes, None where there is enough."""
    needed = used + nodes * PER_NODE
    if needed <= allowed:
        return None
    return (
        f"node_count: given {nodes} more nodes to boot; allowed: {max(0, allowed - used) // PER_NODE}, as "
        f"this machine lets root have {allowed} inotify instances, of which {used} are in use. For more: "
        f"sysctl fs.inotify.max_user_instances={needed}"
    )


def in_use(proc: Path = Path("/proc")) -> int:
    """Count the inotify instances of root's processes."""
    count = 0
    for folder in proc.glob("[0-9]*/fd"):
        with contextlib.suppress(OSError):  # processes come and go
            if folder.parent.stat().st_uid == 0:
                count += sum(_is_inotify(file) for file in folder.iterdir())
    return count


def _is_inotify(file: Path) -> bool:
    with contextlib.suppress(OSError):
        return str(file.readlink()) == "anon_inode:inotify"
    return False
