# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The program that holds the packets of one link fault.

It takes them from a queue of netfilter, and lets each go when it is due. When it dies, packets pass: its rule
says bypass.

It is started by `begin` as a child of the agent, learns what to do from its first line of input, ends when
its input ends, and answers on a socket of its own name.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import heapq
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional, Protocol

from ansible_collections.foundation.testbed.plugins.module_utils.faults import _netlink
from ansible_collections.foundation.testbed.plugins.module_utils.faults._impairment import (
    Impairment,
    Line,
    flipped,
)

_CONTROL = b"\0foundation-testbed-link-"
# Queues are taken from here on; priorities of the chains follow their numbers.
FIRST_QUEUE, LAST_QUEUE = 0x8000, 0x8FFF
# Copies bear this mark and the number of their queue: neither it nor an earlier one holds them again.
COPY_MARK = 0x7E570000
# Bytes of each packet that have to be seen: the IP header for its length, or all of it.
_HEADER_BYTES, _ALL_BYTES = 20, 0xFFFF
# Packets taken before what is due is looked at again.
_AT_ONCE = 64
_BUFFER = 16 * 2**20
_SO_MARK, _SO_RCVBUFFORCE, _SO_SNDBUFFORCE = 36, 33, 32
_READY_S, _ANSWER_S = 5.0, 0.5
# Seconds after the planned end at which the program ends whatever happens.
_LEASE_MARGIN_S = 5.0


def control_name(table: str) -> bytes:
    """Return the name of the socket on which the program of a fault answers."""
    return _CONTROL + table.encode()


def parse_holders(sockets: str) -> list[str]:
    """Return the tables of the faults whose programs answer, out of /proc/net/unix. Pure."""
    shown = "@" + _CONTROL[1:].decode()  # a name that begins with a null byte is shown so
    paths = (line.split()[-1] for line in sockets.splitlines() if line.strip())
    return sorted({path[len(shown) :] for path in paths if path.startswith(shown)})


def release_all(but: str = "") -> None:
    """Have every program of this node let go what it holds, but for that of one fault.

    To be asked before a base chain goes, of whatever table: the kernel then drops all packets in queues.
    """
    sockets = Path("/proc/net/unix").read_text(encoding="utf-8", errors="replace")
    for table in parse_holders(sockets):
        if table != but:
            ask(table, "release")


def taken_queues() -> set[int]:
    """Return the numbers of the queues that somebody empties."""
    rows = Path("/proc/net/netfilter/nfnetlink_queue").read_text(encoding="ascii").splitlines()
    return {int(row.split()[0]) for row in rows if row.split()}


class Holder:
    """Holds the packets of one queue."""

    def __init__(self, program: dict[str, Any], queues: Sequence[int] = range(FIRST_QUEUE, LAST_QUEUE + 1)):
        self.asked = Impairment.of(program)
        self.line = Line(self.asked, str(program.get("seed", 0)))
        self.netlink = _netlink.open_socket()
        self.queue = self._bind(queues)
        self.netlink.setblocking(False)
        self.copies: Optional[socket.socket] = None
        if self.asked.duplicate:
            self.copies = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
            self.copies.setblocking(False)
            self.copies.setsockopt(socket.SOL_SOCKET, _SO_MARK, COPY_MARK | self.queue)
        # Due time, a number that keeps the order, id of the packet (0 for a copy), changed content or None.
        self.held: list[tuple[float, int, int, Optional[bytes]]] = []
        self.count = 0
        self.figures: dict[str, float] = dict.fromkeys(
            ("seen", "bytes", "dropped", "corrupted", "duplicated", "reordered", "released", "overflowed"), 0
        )
        self.late_s, self.latest_s, self.held_s = 0.0, 0.0, 0.0

    def _bind(self, queues: Sequence[int]) -> int:
        for option in (_SO_RCVBUFFORCE, _SO_SNDBUFFORCE):
            self.netlink.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
        copied = _ALL_BYTES if self.asked.needs_payload else _HEADER_BYTES
        for queue in queues:
            try:
                _netlink.bind_queue(self.netlink, queue, copied, self.asked.limit)
            except OSError:  # EPERM as well where somebody else has it
                if queue not in taken_queues():
                    raise
                continue
            return queue
        raise OSError(errno.EBUSY, "every queue of netfilter is taken")

    def take(self) -> None:
        """Take what is there, some at a time, and decide what becomes of each."""
        answers = []
        for _ in range(_AT_ONCE):
            try:
                message = self.netlink.recv(_ALL_BYTES + 4096)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self.figures["overflowed"] += 1
                continue
            if struct.unpack_from("=H", message, 4)[0] == _netlink.PACKET:
                refused = self._take(message)
                if refused:
                    answers.append(refused)
        self._say(answers)

    def _take(self, message: bytes) -> bytes:
        found = _netlink.attributes(message[20:])
        (packet_id,) = struct.unpack_from("!I", found[_netlink.PACKET_HEADER])
        packet = found.get(_netlink.PAYLOAD, b"")
        length = struct.unpack_from("!H", packet, 2)[0] if len(packet) >= 4 else 0
        figures, now_s = self.figures, time.monotonic()
        figures["seen"] += 1
        figures["bytes"] += length
        fate = self.line.fate(now_s, length)
        if fate is None:
            figures["dropped"] += 1
            return _netlink.verdict(self.queue, packet_id, _netlink.DROP)
        content = None
        if fate.flip is not None:
            content = packet = flipped(packet, fate.flip)
            figures["corrupted"] += 1
        figures["reordered"] += fate.overtakes
        self.held_s += fate.due_s - now_s
        self._hold(fate.due_s, packet_id, content)
        if fate.copy_due_s is not None:
            figures["duplicated"] += 1
            self._hold(fate.copy_due_s, 0, packet)
        return b""

    def _hold(self, due_s: float, packet_id: int, content: Optional[bytes]) -> None:
        self.count += 1
        heapq.heappush(self.held, (due_s, self.count, packet_id, content))

    def release(self, everything: bool = False) -> None:
        """Let go what is due, or everything."""
        now_s = time.monotonic()
        answers = []
        while self.held and (everything or self.held[0][0] <= now_s):
            due_s, _, packet_id, content = heapq.heappop(self.held)
            if not everything:
                late_s = now_s - due_s
                self.late_s += late_s
                self.latest_s = max(self.latest_s, late_s)
            self.figures["released"] += 1
            if packet_id:
                answers.append(_netlink.verdict(self.queue, packet_id, _netlink.ACCEPT, content or b""))
            elif self.copies is not None and content:
                target = socket.inet_ntoa(content[16:20])
                with contextlib.suppress(OSError):
                    self.copies.sendto(content, (target, 0))
        self._say(answers)

    def _say(self, answers: list[bytes]) -> None:
        for at in range(0, len(answers), _AT_ONCE):
            with contextlib.suppress(OSError):  # a packet that is gone already: its device went, or its rule
                self.netlink.send(b"".join(answers[at : at + _AT_ONCE]))

    def until_due_s(self) -> float:
        """Return the seconds until the next packet is due."""
        return max(0.0, self.held[0][0] - time.monotonic()) if self.held else 1.0

    def stats(self) -> dict[str, Any]:
        """Return what it has counted."""
        passed = self.figures["seen"] - self.figures["dropped"]
        return {
            **{key: int(value) for key, value in self.figures.items()},
            "queue": self.queue,
            "holding": len(self.held),
            "asked_delay_ms": _milliseconds(self.held_s, passed),
            "late_ms": _milliseconds(self.late_s, self.figures["released"]),
            "latest_ms": round(self.latest_s * 1000, 3),
        }


def _milliseconds(total_s: float, count: float) -> float:
    return round(total_s / count * 1000, 3) if count else 0.0


class Holding(Protocol):
    """What holds packets: one queue, or several."""

    def take(self) -> None:
        """Take what is there."""

    def release(self, everything: bool = False) -> None:
        """Let go what is due, or everything."""

    def stats(self) -> dict[str, Any]:
        """Return what was counted."""


def answer(holder: Holding, control: socket.socket) -> bool:
    """Answer one question; returns whether the program is to end."""
    question, asker = control.recvfrom(64)
    if question in (b"end", b"release"):
        holder.take()
        holder.release(everything=True)
    if asker:
        with contextlib.suppress(OSError):
            control.sendto(json.dumps(holder.stats()).encode(), asker)
    return question == b"end"


def serve(holder: Holder, control: socket.socket, lease_s: float) -> None:
    """Hold and release until told to end, or the agent is gone, or the lease is over."""
    watched = [holder.netlink, control, sys.stdin]
    lease_end_s = time.monotonic() + lease_s
    while time.monotonic() < lease_end_s:
        ready = select.select(watched, [], [], holder.until_due_s())[0]
        if holder.netlink in ready:
            holder.take()
        holder.release()
        if control in ready and answer(holder, control):
            return
        if sys.stdin in ready and not os.read(sys.stdin.fileno(), 64):
            return


def main() -> None:
    """Serve one fault, told on standard input."""
    told = json.loads(sys.stdin.buffer.readline())
    become_punctual()
    control = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    control.bind(control_name(told["table"]))
    holder = Holder(told["program"])
    gc.collect()
    gc.disable()
    print(json.dumps({"queue": holder.queue}), flush=True)
    serve(holder, control, told["left_s"] + _LEASE_MARGIN_S)
    holder.release(everything=True)


def become_punctual() -> None:
    """Ask the kernel to be woken in time, and before others."""
    with contextlib.suppress(OSError):
        os.nice(-10)
    with contextlib.suppress(OSError):
        Path("/proc/self/timerslack_ns").write_text("1000", encoding="ascii")


def begin(table: str, program: dict[str, Any], left_s: float) -> tuple[subprocess.Popen[bytes], int]:
    """Start the program of a fault as a child; returns it and its queue. Raises RuntimeError."""
    child = subprocess.Popen(
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    if child.stdin is None or child.stdout is None or child.stderr is None:
        raise RuntimeError("the program that holds packets has no pipes")
    told = {"table": table, "program": program, "left_s": left_s}
    child.stdin.write(json.dumps(told).encode() + b"\n")
    child.stdin.flush()
    ready = select.select([child.stdout], [], [], _READY_S)[0]
    line = child.stdout.readline() if ready else b""
    if not line:
        child.kill()
        said = child.stderr.read().decode(errors="replace").strip().splitlines() or ["no answer"]
        raise RuntimeError(f"the program that holds packets did not start: {said[-1]}")
    return child, int(json.loads(line)["queue"])


def ask(table: str, question: str) -> Optional[dict[str, Any]]:
    """Ask the program of a fault (stats, release, end); None when there is none."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asker:
        asker.bind("")
        asker.settimeout(_ANSWER_S)
        try:
            asker.connect(control_name(table))
            asker.send(question.encode())
            found: dict[str, Any] = json.loads(asker.recv(65536))
        except (OSError, ValueError):
            return None
    return found


if __name__ == "__main__":
    main()
