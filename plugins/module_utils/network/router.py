# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The program that finds another way when a link or a node fails: greetings between neighbours, then routes.

Where no way is left the routes stay as the topology has them: packets go to where the link was cut.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import sys
import time
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.agent.paths import ROUTER_PORT
from ansible_collections.foundation.testbed.plugins.module_utils.network import layout
from ansible_collections.foundation.testbed.plugins.module_utils.network import part as parts
from ansible_collections.foundation.testbed.plugins.module_utils.network.links import GREET_S, Links
from ansible_collections.foundation.testbed.plugins.module_utils.network.part import Part

# Seconds between two looks at whether the routes are still there.
REPAIR_S = 5.0


def open_socket(address: str) -> socket.socket:
    """Return the socket of greetings, which go over the link itself or not at all."""
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_DONTROUTE, 1)
    opened.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
    opened.setblocking(False)
    opened.bind((address, ROUTER_PORT))
    return opened


class Router:
    """Greets the neighbours of one node and keeps its routes."""

    def __init__(self, part: Part, device: str):
        self.part, self.device = part, device
        self.socket = open_socket(part.own)
        self.name_of = {part.addresses[name]: name for name in part.neighbours}
        latency_s = {name: held / 1000 for name, held in part.latency_ms.items()}
        self.links = Links(part.node, part.links, time.monotonic(), time.time_ns() // 10**6, latency_s)
        self.ways = part.ways()
        layout.set_ways(part, device, self.ways, {})

    def greet(self) -> None:
        """Tell every neighbour what is known."""
        text = json.dumps({"testbed": self.part.testbed_id, **self.links.greeting()}).encode()
        for address in self.name_of:
            with contextlib.suppress(OSError):  # cut off, down, or no room: it hears nothing, as is right
                self.socket.sendto(text, (address, ROUTER_PORT))

    def take(self) -> bool:
        """Take in the greetings that are there; returns whether anything is new."""
        new = False
        while True:
            try:
                text, (address, _) = self.socket.recvfrom(65536)
            except BlockingIOError:
                return new
            except OSError:  # a neighbour's host refused the last greeting
                continue
            with contextlib.suppress(ValueError, KeyError, TypeError):
                said: dict[str, Any] = json.loads(text)
                if said["testbed"] == self.part.testbed_id and self.name_of.get(address) == said["from"]:
                    new = self.links.hear(said, time.monotonic()) or new

    def lead(self) -> None:
        """Have the routes follow the links that work."""
        static = self.part.ways()
        ways = {**static, **self.part.ways(self.links.working())}
        if ways != self.ways:
            layout.set_ways(self.part, self.device, ways, self.ways)
            print(f"next hops: {json.dumps(ways, sort_keys=True)}", flush=True)
            self.ways = ways

    def repair(self) -> None:
        """Set the routes anew if the kernel has lost any, as it does when a device goes down and up."""
        if layout.routes_now() != {to: via for to, via in self.ways.items() if to != via}:
            layout.set_ways(self.part, self.device, self.ways, {})

    def serve(self) -> None:
        """Greet, listen and lead until the end."""
        due_s = repair_due_s = time.monotonic()
        while True:
            select.select([self.socket], [], [], max(0.0, due_s - time.monotonic()))
            new = self.take()
            new = self.links.look(time.monotonic()) or new
            if new:
                self.lead()
            if new or time.monotonic() >= due_s:
                self.greet()
            if time.monotonic() >= due_s:
                due_s = time.monotonic() + GREET_S
            if time.monotonic() >= repair_due_s:
                self.repair()
                repair_due_s = time.monotonic() + REPAIR_S


def main() -> int:
    """Serve the topology of this node."""
    part = parts.read()
    if part is None:
        return 1
    Router(part, layout.await_device(part.own)).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
