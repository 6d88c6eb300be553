# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measured on the way out: probes sent by this node, and when and how each really left through its device.

A packet socket sees what is handed to the network device, with the kernel's time stamp: so what lies
between is felt whatever brings it about, and no peer has to answer.
"""

from __future__ import annotations

import array
import json
import os
import socket
import struct
import subprocess
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.agent.probe import (
    DISCARD,
    PROTOCOLS,
    WRONG_CHECKSUM,
)
from ansible_collections.foundation.testbed.plugins.module_utils.faults._impairment import LINK_HEADER_BYTES
from ansible_collections.foundation.testbed.plugins.module_utils.network import part

_SO_ATTACH_FILTER, _SO_SNDBUFFORCE, _SO_RCVBUFFORCE, _SO_TIMESTAMPNS = 26, 32, 33, 35
_ETH_P_ALL, _PACKET_OUTGOING, _PACKET_TYPE = 0x0003, 4, 0xFFFFF004
_BUFFER = 4 * 2**20
_IP_HEADER = 20
# Copies of mark and number in a probe: one flipped bit spoils one of them.
COPIES = 6
# The least probability of losing all probes sent at once for which that is no sign of a peer that is down.
PLAUSIBLE = 1e-4


def device_to(address: str) -> Optional[str]:
    """Return the network device through which packets to an address leave, None without a route."""
    done = subprocess.run(
        ["ip", "-json", "route", "get", address], capture_output=True, text=True, check=False, timeout=20
    )
    routes = json.loads(done.stdout or "[]") if done.returncode == 0 else []
    return str(routes[0]["dev"]) if routes and "dev" in routes[0] else None


def probe_segment(protocol: str, port: int, content: bytes) -> bytes:
    """Return what follows the IP header: a SYN, a datagram or an echo request that no peer acts on."""
    if protocol == "tcp":
        return struct.pack("!HHIIBBHHH", DISCARD, port, 0, 0, 5 << 4, 2, 1024, WRONG_CHECKSUM, 0) + content
    if protocol == "udp":
        return struct.pack("!HHHH", DISCARD, port, 8 + len(content), WRONG_CHECKSUM) + content
    return struct.pack("!BBHHH", 8, 0, WRONG_CHECKSUM, 0, 0) + content


def capture_filter(protocol: str) -> bytes:
    """Return the socket filter (classic BPF) that takes outgoing probes only."""
    at, wanted = (22, WRONG_CHECKSUM) if protocol == "icmp" else (20, DISCARD)
    steps = (
        (0x20, 0, 0, _PACKET_TYPE),
        (0x15, 0, 5, _PACKET_OUTGOING),
        (0x30, 0, 0, 9),
        (0x15, 0, 3, PROTOCOLS[protocol]),
        (0x28, 0, 0, at),
        (0x15, 0, 1, wanted),
        (0x06, 0, 0, 0xFFFF),
        (0x06, 0, 0, 0),
    )
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


@dataclass
class Tally:
    """What became of the probes that have had the time to leave.

    `shown` is in how many of those that left a flipped bit would have been seen.
    """

    sent: int = 0
    left: int = 0
    shown: float = 0.0
    altered: int = 0
    doubled: int = 0
    overtook: int = 0
    delays_s: deque[float] = field(default_factory=lambda: deque(maxlen=4000))


@dataclass
class Burst:
    """Probes sent at once to one peer: their times by number, and how each left (time, altered).

    `shown` is the share of the bits that may be flipped in which it is seen; `held_s` is for how long the
    topology holds what is sent to that peer.
    """

    sent_ns: dict[int, int] = field(default_factory=dict)
    left: dict[int, list[tuple[int, bool]]] = field(default_factory=dict)
    train: bool = False
    size: int = 0
    shown: float = 1.0
    held_s: float = 0.0


class Departures:
    """Probes to peers behind one device; needs CAP_NET_RAW."""

    def __init__(self, device: str, protocol: str = "udp", port: int = DISCARD):
        self.protocol, self.port = protocol, port
        # Whether what corrupts packets flips bits of their headers as well, as netem does.
        self.headers_too = False
        self.mark = os.urandom(4)
        self.number = 0
        self.bursts: dict[int, Burst] = {}
        self.burst_of: dict[int, int] = {}
        self.sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, PROTOCOLS[protocol])
        self.sender.setblocking(False)
        self.sender.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _BUFFER)
        # No protocol yet: nothing may arrive before the filter is there.
        self.capture = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        self.capture.setblocking(False)
        code = array.array("B", capture_filter(protocol))
        address, length = code.buffer_info()
        program = struct.pack("HL", length // 8, address)
        self.capture.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
        self.capture.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        self.capture.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self.capture.bind((device, _ETH_P_ALL))

    def close(self) -> None:
        """Give the sockets back."""
        self.sender.close()
        self.capture.close()

    def content(self, number: int, copies: int) -> bytes:
        """Return what a probe carries."""
        return (self.mark + struct.pack("!I", number)) * copies

    def send(self, address: str, count: int, copies: int = COPIES, train: bool = False) -> None:
        """Send probes one right after the other."""
        segment = len(probe_segment(self.protocol, self.port, b"")) + 8 * copies
        shown = share_shown(segment, self.headers_too)
        burst = Burst(train=train, size=_IP_HEADER + segment, shown=shown, held_s=part.held_to_s(address))
        first = self.number
        for _ in range(count):
            number, self.number = self.number, self.number + 1
            packet = probe_segment(self.protocol, self.port, self.content(number, copies))
            before_ns = time.time_ns()
            try:
                self.sender.sendto(packet, (address, 0))
            except OSError:  # a rule drops it, or there is no room: not sent
                continue
            burst.sent_ns[number] = before_ns
            self.burst_of[number] = first
        if burst.sent_ns:
            self.bursts[first] = burst

    def collect(self) -> None:
        """Read what has left since the last time."""
        while True:
            try:
                packet, stamps, _, _ = self.capture.recvmsg(2048, 64)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # the device went down for a moment
                return
            stamp = next((data for _, kind, data in stamps if kind == _SO_TIMESTAMPNS), None)
            left_ns = time.time_ns() if stamp is None else _nanoseconds(stamp)
            self._note(packet[20:], left_ns)

    def _note(self, segment: bytes, left_ns: int) -> None:
        header = len(probe_segment(self.protocol, self.port, b""))
        content = segment[header:]
        parts = [content[at : at + 8] for at in range(0, len(content) - 7, 8)]
        if not parts:
            return
        (most, times), *_ = Counter(parts).most_common(1)
        if most[:4] != self.mark or times < len(parts) - 1:
            return  # a probe of another fault
        number = struct.unpack("!I", most[4:])[0]
        burst = self.bursts.get(self.burst_of.get(number, -1))
        if burst is not None:
            true = probe_segment(self.protocol, self.port, self.content(number, len(parts)))
            burst.left.setdefault(number, []).append((left_ns, segment != true))

    def settle(self, wait_s: float, tally: Tally, early_s: float, all_lost: Sequence[float]) -> list[Burst]:
        """Count the bursts that are older than `wait_s`, and return the trains among them.

        `early_s` is the delay below which a probe has overtaken others. `all_lost` is the loss of a packet,
        and of one behind a lost one.
        """
        self.collect()
        trains = []
        for first, burst in list(self.bursts.items()):
            if time.time_ns() - max(burst.sent_ns.values()) < (wait_s + burst.held_s) * 1e9:
                continue
            for number in burst.sent_ns:
                del self.burst_of[number]
            del self.bursts[first]
            if burst.left or all_lost[0] * all_lost[1] ** (len(burst.sent_ns) - 1) >= PLAUSIBLE:
                count(burst, tally, early_s)
                trains += [burst] * burst.train
        return trains


def share_shown(segment: int, headers_too: bool) -> float:
    """Return the share of the flipped bits that a probe shows whose segment has so many bytes.

    The filter does not know a probe again whose port is hit, nor is one compared in front of the segment.
    """
    return (segment - 2) / (segment + (LINK_HEADER_BYTES + _IP_HEADER if headers_too else 0))


def count(burst: Burst, tally: Tally, early_s: float) -> None:
    """Add one burst to the tally; of the delays, that of the first probe only: others may queue behind it."""
    for number, sent_ns in burst.sent_ns.items():
        tally.sent += 1
        departures = burst.left.get(number, [])
        if not departures:
            continue
        delay_s = (min(departures)[0] - sent_ns) / 1e9 - burst.held_s
        tally.left += 1
        tally.shown += burst.shown
        tally.altered += any(altered for _, altered in departures)
        tally.doubled += len(departures) > 1
        tally.overtook += delay_s < early_s
        if number == min(burst.sent_ns) and not burst.train and delay_s >= early_s:
            tally.delays_s.append(delay_s)


def span_s(burst: Burst) -> tuple[int, float]:
    """Return how many packets of a train left, and the time from the first to the last."""
    times = sorted(left_ns for departures in burst.left.values() for left_ns, _ in departures)
    return len(times), (times[-1] - times[0]) / 1e9 if times else 0.0


def _nanoseconds(stamp: bytes) -> int:
    seconds, nanoseconds = struct.unpack("ll", stamp[: struct.calcsize("ll")])
    return int(seconds) * 10**9 + int(nanoseconds)


def figures(tally: Tally) -> dict[str, Any]:
    """Return the counts as the ledger shows them."""
    return {
        "sent": tally.sent,
        "left": tally.left,
        "altered": tally.altered,
        "doubled": tally.doubled,
        "overtook": tally.overtook,
    }
