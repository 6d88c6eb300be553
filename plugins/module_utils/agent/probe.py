# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Probes: datagrams that feel a cut the moment it begins, and an echo that answers them.

A packet that the output rule of this node drops makes sendto fail with EPERM: so a node feels its own cut to
within the interval between two probes, with no peer involved.
"""

from __future__ import annotations

import asyncio
import socket
import time
from dataclasses import dataclass
from typing import Callable, Optional

PROBE = b"foundation-testbed probe"
ECHO = b"foundation-testbed echo"


class Prober(asyncio.DatagramProtocol):
    """Sends probes to peers, answers theirs, and counts whom it heard."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.heard: dict[str, int] = {}
        # Sent on directly: asyncio's own sendto would swallow the EPERM that is the whole point.
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.transport: Optional[asyncio.BaseTransport] = None

    async def start(self) -> Prober:
        """Listen on every address of this node."""
        self.socket.bind(("0.0.0.0", self.port))
        self.transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: self, sock=self.socket
        )
        return self

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer a probe; count any packet of ours."""
        if data in (PROBE, ECHO):
            self.heard[addr[0]] = self.heard.get(addr[0], 0) + 1
        if data == PROBE:
            self._send(ECHO, addr[0])

    def passes(self, address: str) -> bool:
        """Send one probe; returns whether this node's rules let it out."""
        return self._send(PROBE, address)

    def _send(self, payload: bytes, address: str) -> bool:
        try:
            self.socket.sendto(payload, (address, self.port))
        except PermissionError:
            return False
        except OSError:  # a full buffer or a peer that is down says nothing about a rule
            return True
        return True

    async def answered(self, address: str, timeout_s: float) -> bool:
        """Tell whether a peer is heard within `timeout_s` from now, asking it again and again."""
        heard = self.heard.get(address, 0)
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            self.passes(address)
            await asyncio.sleep(0.1)
            if self.heard.get(address, 0) > heard:
                return True
        return False

    def close(self) -> None:
        """Stop listening."""
        if self.transport is not None:
            self.transport.close()


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
