# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The address from which the controller reaches this node, which no fault may name."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Optional

# What a program calls the peers, with their addresses, whose packets it drops or holds.
NAMED_IN = ("blocked", "affected")


def ssh_connection(proc: Path = Path("/proc"), pid: Optional[int] = None) -> str:
    """Return `SSH_CONNECTION` of this process or of its nearest ancestor that has one: sudo drops it."""
    pid = os.getpid() if pid is None else pid
    while pid > 1:
        try:
            for item in (proc / str(pid) / "environ").read_bytes().split(b"\0"):
                if item.startswith(b"SSH_CONNECTION="):
                    return item.partition(b"=")[2].decode("ascii", "replace")
            status = (proc / str(pid) / "stat").read_text(encoding="ascii", errors="replace")
            pid = int(status.rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            return ""
    return ""


def controller_address(connection: str) -> Optional[str]:
    """Return the other end of the ssh session, as `SSH_CONNECTION` says it; None where it says nothing."""
    try:
        address = ipaddress.ip_address(connection.split()[0])
    except (IndexError, ValueError):
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)


def cuts_management(program: Mapping[str, Any], connection: str) -> Iterator[str]:
    """Say for which peers a fault would take the controller's own session away. Pure."""
    controller = controller_address(connection)
    for key in NAMED_IN:
        peers = program.get(key)
        for peer, address in peers.items() if isinstance(peers, Mapping) else ():
            if controller is not None and address == controller:
                yield (
                    f"peers: given {peer!r}, the management address: the controller's session comes from "
                    f"{address}; allowed: any other"
                )
