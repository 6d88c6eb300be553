# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measure the ways from this node: over how many links each peer's answers come, and after what time."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import statistics
import struct
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.agent.probe import checksum
from ansible_collections.foundation.testbed.plugins.module_utils.network import part

# How far a round trip may be from what was asked: so much of it, or so many milliseconds.
SHARE, SLACK_MS = 0.1, 2.0
# Pings to each peer in one measurement, seconds between them, and for how long the last is waited for beyond
# what it should take.
PINGS, EVERY_S, GRACE_S = 9, 0.02, 0.5
# What every host sends with; each host between takes one.
_FIRST_TTL = 64
_SO_TIMESTAMPNS = 35


@dataclass
class Answers:
    """What came back from one peer: times in milliseconds, and how many links each answer came over."""

    rtts_ms: list[float] = field(default_factory=list)
    hops: list[int] = field(default_factory=list)


def measure(addresses: Mapping[str, str], longest_ms: float) -> dict[str, Answers]:
    """Ping every peer several times; `longest_ms` is how long the slowest should take."""
    name_of, found = (
        {address: name for name, address in addresses.items()},
        {name: Answers() for name in addresses},
    )
    ident, sent_ns = os.getpid() & 0xFFFF, dict[int, int]()
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as pinger:
        pinger.setblocking(False)
        pinger.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        number = 0
        for _ in range(PINGS):
            for address in addresses.values():
                number += 1
                sent_ns[number] = time.time_ns()
                with contextlib.suppress(OSError):  # no way to it: it answers nothing
                    pinger.sendto(echo(ident, number), (address, 0))
            _listen(pinger, EVERY_S, ident, sent_ns, name_of, found)
        _listen(pinger, longest_ms / 1000 + GRACE_S, ident, sent_ns, name_of, found)
    return found


def echo(ident: int, number: int) -> bytes:
    """Return an echo request."""
    head = struct.pack("!BBHHH", 8, 0, 0, ident, number)
    return struct.pack("!BBHHH", 8, 0, checksum(head), ident, number)


def _listen(
    pinger: socket.socket,
    for_s: float,
    ident: int,
    sent_ns: dict[int, int],
    name_of: Mapping[str, str],
    found: Mapping[str, Answers],
) -> None:
    """Take answers for so long, or until every request has one."""
    deadline = time.monotonic() + for_s
    while sent_ns and select.select([pinger], [], [], max(0.0, deadline - time.monotonic()))[0]:
        packet, stamps, _, (address, _port) = pinger.recvmsg(2048, 64)
        stamp = next((data for _, kind, data in stamps if kind == _SO_TIMESTAMPNS), b"")
        answered = read_answer(packet, ident)
        if answered and answered[0] in sent_ns and address in name_of:
            number, ttl = answered
            seconds, nanoseconds = struct.unpack("ll", stamp)
            took_ns = seconds * 10**9 + nanoseconds - sent_ns.pop(number)
            answers = found[name_of[address]]
            answers.rtts_ms.append(took_ns / 1e6)
            answers.hops.append(_FIRST_TTL - ttl + 1)


def read_answer(packet: bytes, ident: int) -> Optional[tuple[int, int]]:
    """Return number and time-to-live of an echo reply to us, None for any other packet. Pure."""
    header = (packet[0] & 0x0F) * 4
    if len(packet) < header + 8:
        return None
    kind, _code, _sum, own, number = struct.unpack_from("!BBHHH", packet, header)
    return (number, packet[8]) if kind == 0 and own == ident else None


def compare(
    expected: Mapping[str, Mapping[str, float]], found: Mapping[str, Answers]
) -> dict[str, dict[str, Any]]:
    """Return what was asked beside what was measured of every peer, and whether it is right. Pure."""
    compared = {}
    for name, asked in expected.items():
        answers = found.get(name, Answers())
        rtt_ms = round(statistics.median(answers.rtts_ms), 3) if answers.rtts_ms else None
        hops = statistics.mode(answers.hops) if answers.hops else None
        compared[name] = {
            "asked_ms": asked["rtt_ms"],
            "measured_ms": rtt_ms,
            "asked_hops": asked["hops"],
            "hops": hops,
            "answers": len(answers.rtts_ms),
            "right": hops == asked["hops"] and rtt_ms is not None and close(asked["rtt_ms"], rtt_ms),
        }
    return compared


def close(asked_ms: float, measured_ms: float) -> bool:
    """Whether a round trip is as asked."""
    return abs(measured_ms - asked_ms) <= max(SLACK_MS, SHARE * asked_ms)


def deviation(name: str, one: Mapping[str, Any]) -> str:
    """Say what is not as asked of a peer."""
    if one["measured_ms"] is None:
        return f"{name} answers no ping"
    if one["hops"] != one["asked_hops"]:
        return f"{name} answers over {one['hops']} links, asked {one['asked_hops']}"
    return f"{name} answers after {one['measured_ms']:g} ms, asked {one['asked_ms']:g} ms"


def measure_until_right(
    addresses: Mapping[str, str], expected: Mapping[str, Mapping[str, float]], timeout_s: float
) -> dict[str, dict[str, Any]]:
    """Measure what is expected, again where it is not right yet, until the time is over."""
    deadline = time.monotonic() + timeout_s
    longest_ms = max((asked["rtt_ms"] for asked in expected.values()), default=0.0)
    compared: dict[str, dict[str, Any]] = {}
    todo = dict(expected)
    while todo:
        compared.update(compare(todo, measure({name: addresses[name] for name in todo}, longest_ms)))
        todo = {name: asked for name, asked in expected.items() if not compared[name]["right"]}
        if time.monotonic() >= deadline:
            break
    return {name: compared[name] for name in expected if name in compared}


def main() -> int:
    """Measure what the first argument expects of each node, in JSON; the second is a time-out in seconds."""
    topology = part.read()
    if topology is None:
        return 1
    expected, timeout_s = json.loads(sys.argv[1]), float(sys.argv[2])
    print(json.dumps(measure_until_right(topology.addresses, expected, timeout_s)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
