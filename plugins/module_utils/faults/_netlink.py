# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Netfilter's netlink messages, as far as queues need them: binding, verdicts, the rule that fills one."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable

NETLINK_NETFILTER = 12
_REQUEST, _ACK, _CREATE, _APPEND = 0x1, 0x4, 0x400, 0x800
_ERROR = 2
_NESTED = 0x8000
# Subsystems and their messages.
_QUEUE, _NFTABLES, _COMPAT = 3 << 8, 10 << 8, 11 << 8
PACKET, _VERDICT, _CONFIG = _QUEUE | 0, _QUEUE | 1, _QUEUE | 2
_NEW_RULE, _BATCH_BEGIN, _BATCH_END = _NFTABLES | 6, 0x10, 0x11
_AF_INET = socket.AF_INET
# Verdicts.
DROP, ACCEPT = 0, 1
# Attributes of a queued packet.
PACKET_HEADER, PAYLOAD = 1, 10
_BYPASS = 1


def attribute(kind: int, value: bytes) -> bytes:
    """Return one attribute, padded."""
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def nested(kind: int, parts: Iterable[bytes]) -> bytes:
    """Return an attribute that holds attributes."""
    return attribute(kind | _NESTED, b"".join(parts))


def message(kind: int, flags: int, body: bytes, family: int = 0, resource: int = 0) -> bytes:
    """Return one message with netfilter's header."""
    header = struct.pack("=BBH", family, 0, socket.htons(resource))
    return struct.pack("=IHHII", 20 + len(body), kind, flags, 1, 0) + header + body


def verdict(queue: int, packet_id: int, what: int, payload: bytes = b"") -> bytes:
    """Return the message that lets a packet go or drops it, with another content if one is given."""
    body = attribute(2, struct.pack("!II", what, packet_id))
    if payload:
        body += attribute(PAYLOAD, payload)
    return message(_VERDICT, _REQUEST, body, resource=queue)


def attributes(body: bytes) -> dict[int, bytes]:
    """Read the attributes of a message."""
    found, at = {}, 0
    while at + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, at)
        if length < 4:
            break
        found[kind & 0x3FFF] = body[at + 4 : at + length]
        at += (length + 3) & ~3
    return found


def open_socket() -> socket.socket:
    """Return a socket to netfilter; needs CAP_NET_ADMIN to be of use."""
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
    opened.bind((0, 0))
    return opened


def ask(connection: socket.socket, text: bytes) -> None:
    """Send messages and wait for the kernel's answer to them; raises OSError when it refuses."""
    connection.send(text)
    answer = connection.recv(65536)
    at = 0
    while at + 20 <= len(answer):
        length, kind = struct.unpack_from("=IH", answer, at)
        if kind == _ERROR:
            (error,) = struct.unpack_from("=i", answer, at + 16)
            if error:
                raise OSError(-error, os.strerror(-error))
        at += (length + 3) & ~3


def bind_queue(connection: socket.socket, queue: int, copy_bytes: int, limit: int) -> None:
    """Become the one that is asked for the packets of a queue; raises OSError, EBUSY when it has one."""
    command = attribute(1, struct.pack("!BBH", 1, 0, _AF_INET))
    ask(connection, message(_CONFIG, _REQUEST | _ACK, command, resource=queue))
    params = attribute(2, struct.pack("!IB", copy_bytes, 2 if copy_bytes else 1))
    length = attribute(3, struct.pack("!I", limit))
    ask(connection, message(_CONFIG, _REQUEST | _ACK, params + length, resource=queue))


def queue_rule(table: str, chain: str, queue: int) -> bytes:
    """Return the batch that adds `-j NFQUEUE --queue-num QUEUE --queue-bypass` to a chain of an ip table.

    For kernels whose nftables has no `queue` statement: nftables takes the target of xtables instead.
    """
    target = [
        attribute(1, b"NFQUEUE\0"),
        attribute(2, struct.pack("!I", 3)),
        attribute(3, struct.pack("=HHHH", queue, 1, _BYPASS, 0)),
    ]
    expression = nested(1, [attribute(1, b"target\0"), nested(2, target)])
    body = (
        attribute(1, table.encode() + b"\0") + attribute(2, chain.encode() + b"\0") + nested(4, [expression])
    )
    return (
        message(_BATCH_BEGIN, _REQUEST, b"", resource=_NFTABLES >> 8)
        + message(_NEW_RULE, _REQUEST | _ACK | _CREATE | _APPEND, body, family=_AF_INET)
        + message(_BATCH_END, _REQUEST, b"", resource=_NFTABLES >> 8)
    )


def add_queue_rule(table: str, chain: str, queue: int) -> None:
    """Let a chain hand its packets to a queue; raises OSError."""
    with open_socket() as connection:
        ask(connection, queue_rule(table, chain, queue))


def knows_queue_target() -> bool:
    """Whether nftables takes the NFQUEUE target of xtables; asks only."""
    body = (
        attribute(1, b"NFQUEUE\0") + attribute(2, struct.pack("!I", 3)) + attribute(3, struct.pack("!I", 1))
    )
    with open_socket() as connection:
        connection.settimeout(1)
        try:
            ask(connection, message(_COMPAT, _REQUEST, body, family=_AF_INET))
        except OSError:
            return False
    return True
