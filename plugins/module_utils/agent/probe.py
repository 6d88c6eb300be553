# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Probes: packets that feel a cut the moment it begins, and pings that tell whether a peer is heard.

A packet that the output rule of this node drops makes send fail with EPERM: so a node feels its own cut to
within the interval between two probes, with no peer involved.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from dataclasses import dataclass
from typing import Callable, Optional

# The port of a probe where no port is asked for: discard.
DISCARD = 9
PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "icmp": socket.IPPROTO_ICMP}
# A checksum that is wrong for every probe: rules see the packet, but no peer acts on it.
WRONG_CHECKSUM = 1


def segment(protocol: str, port: int) -> bytes:
    """Return what follows the IP header of a probe: a SYN, a datagram or an echo request."""
    if protocol == "tcp":
        return struct.pack("!HHIIBBHHH", DISCARD, port, 0, 0, 5 << 4, 0x02, 1024, WRONG_CHECKSUM, 0)
    if protocol == "udp":
        return struct.pack("!HHHH", DISCARD, port, 8, WRONG_CHECKSUM)
    return struct.pack("!BBHHH", 8, 0, WRONG_CHECKSUM, 0, 0)


class Probe:
    """Sends packets of one protocol to one port of peers; needs CAP_NET_RAW."""

    def __init__(self, protocol: str = "udp", port: int = DISCARD) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, PROTOCOLS[protocol])
        self.socket.setblocking(False)
        self.packet = segment(protocol, port)

    def passes(self, address: str) -> bool:
        """Send one probe; returns whether this node's rules let it out."""
        try:
            self.socket.sendto(self.packet, (address, 0))
        except PermissionError:
            return False
        except OSError:  # a full buffer or a peer that is down says nothing about a rule
            return True
        return True

    def close(self) -> None:
        """Give the socket back."""
        self.socket.close()


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


# Between two pings while waiting for an answer.
PING_EVERY_S = 0.1


def ping(address: str, timeout_s: float) -> bool:
    """Tell whether a peer answers pings within `timeout_s`; blocks.

    A peer that has no link address is down, not cut: rules do not touch ARP, and such a peer counts as well.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as pinger:
        pinger.connect((address, 0))
        pinger.settimeout(PING_EVERY_S)
        request = struct.pack("!BBHHH", 8, 0, 0, 0x7E57, 1)
        request = request[:2] + struct.pack("!H", checksum(request)) + request[4:]
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                pinger.send(request)
                if pinger.recv(1024)[20:21] == b"\0":  # after the IP header: an echo reply
                    return True
            except PermissionError:  # a rule of this node still drops it
                time.sleep(PING_EVERY_S)
            except socket.timeout:
                continue
            except OSError:  # the host is unreachable
                return True
    return False


async def pings(addresses: list[str], timeout_s: float) -> bool:
    """Tell whether all peers answer pings."""
    loop = asyncio.get_running_loop()
    answers = (loop.run_in_executor(None, ping, address, timeout_s) for address in addresses)
    return all(await asyncio.gather(*answers))


@dataclass
class Edge:
    """The instant at which an effect began or ended, as felt: wall-clock ns, ms since last felt otherwise.

    `resolution_ms` is None when it was there at the first look: it may have begun at any time before.
    """

    felt_ns: int
    resolution_ms: Optional[float]


# Nanoseconds around the expected instant in which to look densely; seconds between looks there and elsewhere.
# Nodes of one machine that looked densely all the time would take each other's processor, and blur the edge.
DENSE_WITHIN_NS, DENSE_S, SPARSE_S = 8_000_000, 0.0003, 0.004


def watch_edge(
    felt: Callable[[], bool], wanted: bool, expected_wall_ns: int, deadline_wall_ns: int
) -> Optional[Edge]:
    """Ask until it is felt (or no more felt), densely around the expected instant; None past the deadline."""
    before = None
    while True:
        asked = time.time_ns()
        if felt() == wanted:
            return Edge(asked, None if before is None else round((asked - before) / 1e6, 3))
        before = asked
        if asked > deadline_wall_ns:
            return None
        time.sleep(DENSE_S if abs(asked - expected_wall_ns) < DENSE_WITHIN_NS else SPARSE_S)
