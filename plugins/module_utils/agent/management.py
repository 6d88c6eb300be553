# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The address from which the controller reaches this node, which no fault may name."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any, Optional

# What a program calls the peers, with their addresses, whose packets it drops or holds.
NAMED_IN = ("blocked", "affected")


def controller_address(ssh_connection: str) -> Optional[str]:
    """Return the other end of the ssh session, as `SSH_CONNECTION` says it; None where it says nothing."""
    try:
        address = ipaddress.ip_address(ssh_connection.split()[0])
    except (IndexError, ValueError):
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)


def cuts_management(program: Mapping[str, Any], ssh_connection: str) -> Iterator[str]:
    """Say for which peers a fault would take the controller's own session away. Pure."""
    controller = controller_address(ssh_connection)
    for key in NAMED_IN:
        peers = program.get(key)
        for peer, address in peers.items() if isinstance(peers, Mapping) else ():
            if controller is not None and address == controller:
                yield (
                    f"peers: given {peer!r}, the management address: the controller's session comes from "
                    f"{address}; allowed: any other"
                )
