# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Traffic between two nodes, to measure a link from its far end; runs on the nodes, standard library only.

`receive PORT SECONDS`, `send ADDRESS PORT COUNT PER_S [BYTES]`, `sink PORT SECONDS`,
`flood ADDRESS PORT SECONDS [BUFFER]`, `floods ADDRESS PORT SECONDS TIMES`,
`pings ADDRESS COUNT INTERVAL_S`: each prints JSON. `at SECONDS` before one of them waits until then, so that
it need not be begun in time. Nodes of one machine share the clock that stamps the datagrams.
"""

from __future__ import annotations

import json
import re
import select
import socket
import struct
import subprocess
import sys
import time
import zlib


def receive(port: int, seconds: float) -> dict:
    """Take datagrams: number and time on the way in ms, by arrival; `damaged` is what is not as sent."""
    arrivals, damaged, end = [], 0, time.monotonic() + seconds
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as raw,
    ):
        for one in (sock, raw):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 2**20)
        sock.bind(("", port))
        while (left := end - time.monotonic()) > 0:
            ready = select.select([sock, raw], [], [], left)[0]
            if sock in ready:
                packet = sock.recv(65536)
                number, sent_ns, _ = struct.unpack_from("!IQI", packet)
                arrivals.append([number, round((time.time_ns() - sent_ns) / 1e6, 3), intact(packet)])
            if raw in ready:
                packet = raw.recv(65536)[20:]
                ours = struct.unpack_from("!HH", packet)[1] == port and len(packet) >= 8 + 64
                damaged += ours and not intact(packet[8:])
    return {"arrivals": arrivals, "damaged": damaged}


def intact(body: bytes) -> bool:
    """Whether a datagram is as it was sent."""
    return zlib.crc32(body[:12] + body[16:]) == struct.unpack_from("!I", body, 12)[0]


def send(address: str, port: int, count: int, per_s: float, size: int = 64) -> dict:
    """Send datagrams at an even pace."""
    sent, late_s, begun = 0, 0.0, time.monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for number in range(count):
            due = begun + number / per_s
            while (left := due - time.monotonic()) > 0:
                time.sleep(left)
            late_s = max(late_s, -left)
            body = b"x" * (size - 16)
            head = struct.pack("!IQ", number, time.time_ns())
            sock.sendto(head + struct.pack("!I", zlib.crc32(head + body)) + body, (address, port))
            sent += 1
    return {"sent": sent, "seconds": time.monotonic() - begun, "latest_ms": late_s * 1000}


def sink(port: int, seconds: float) -> dict:
    """Take TCP connections for some time, and say how many bytes a second each brought."""
    rates, end = [], time.monotonic() + seconds
    with socket.create_server(("", port)) as server:
        while (left := end - time.monotonic()) > 0:
            server.settimeout(left)
            try:
                connection = server.accept()[0]
            except TimeoutError:
                break
            with connection:
                connection.settimeout(max(end - time.monotonic(), 0.1))
                total, begun = 0, time.monotonic()
                try:
                    while got := len(connection.recv(2**18)):
                        total += got
                except TimeoutError:
                    pass
                rates.append(total / (time.monotonic() - begun))
    return {"bytes_per_s": rates}


def flood(address: str, port: int, seconds: float, buffer: int = 0) -> dict:
    """Send as much as TCP takes, with a send buffer of so many bytes."""
    block, total, end = b"x" * 2**16, 0, time.monotonic() + seconds
    with socket.create_connection((address, port), timeout=10) as sock:
        if buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        while time.monotonic() < end:
            total += sock.send(block)
    return {"bytes": total, "bytes_per_s": total / seconds}


def floods(address: str, port: int, seconds: float, times: int) -> dict:
    """Send as much as TCP takes, several times."""
    return {"bytes_per_s": [flood(address, port, seconds)["bytes_per_s"] for _ in range(times)]}


def pings(address: str, count: int, interval_s: float) -> dict:
    """Round trips in ms, None for no answer."""
    said = subprocess.run(
        ["ping", "-n", "-c", str(count), "-i", str(interval_s), "-W", "1", address],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    times = dict(re.findall(r"icmp_seq=(\d+) .*time=([0-9.]+)", said))
    return {"ms": [float(times[str(i)]) if str(i) in times else None for i in range(1, count + 1)]}


def main(verb: str, *rest: str) -> dict:
    """Do one of them."""
    if verb == "at":
        time.sleep(max(float(rest[0]) - time.time(), 0))
        return main(*rest[1:])
    numbers = [part if part.count(".") == 3 else float(part) if "." in part else int(part) for part in rest]
    verbs = (receive, send, sink, flood, floods, pings)
    return {one.__name__: one for one in verbs}[verb](*numbers)


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
