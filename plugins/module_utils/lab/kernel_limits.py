# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether Linux lets so many nodes live: inotify instances to boot, and neighbours for all to reach all."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Optional

from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError

# Instances of root's that a node takes: five of PID 1, one of logind, one to spare.
WATCHES_PER_NODE = 7
WATCHES = "sys/fs/inotify/max_user_instances"
# The kernel drops neighbours beyond this number, whichever namespace they are of.
NEIGHBOURS = "sys/net/ipv4/neigh/default/gc_thresh3"


def require(hosts: int, more: int, proc: Path = Path("/proc")) -> None:
    """Raise LabError where `more` nodes would not boot, or `hosts` not all reach each other."""
    problem = lack_of_watches(more, watches_in_use(proc), int((proc / WATCHES).read_text()))
    problem = problem or lack_of_neighbours(hosts, int((proc / NEIGHBOURS).read_text()))
    if problem:
        raise LabError(problem)


def lack_of_watches(more: int, used: int, allowed: int) -> Optional[str]:
    """Say what is missing for so many more nodes, None where there is enough."""
    needed = used + more * WATCHES_PER_NODE
    if needed <= allowed:
        return None
    most = max(0, allowed - used) // WATCHES_PER_NODE
    return (
        f"node_count: given {more} more nodes to boot; allowed: {most}, as this machine lets root have "
        f"{allowed} inotify instances, of which {used} are in use. For more: "
        f"sysctl fs.inotify.max_user_instances={needed}"
    )


def neighbours(hosts: int) -> int:
    """Return how many neighbours so many hosts and this machine have, each counted by each other."""
    return hosts * (hosts + 1)


def lack_of_neighbours(hosts: int, allowed: int) -> Optional[str]:
    """Say what is missing for so many hosts to reach each other, None where there is enough."""
    if neighbours(hosts) <= allowed:
        return None
    most = max(count for count in range(hosts) if neighbours(count) <= allowed)
    return (
        f"node_count: given {hosts} hosts, observers among them; allowed: {most}, as this machine's kernel "
        f"remembers {allowed} neighbours of all its network namespaces together. For more: "
        f"sysctl net.ipv4.neigh.default.gc_thresh3={neighbours(hosts)}"
    )


def watches_in_use(proc: Path = Path("/proc")) -> int:
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
