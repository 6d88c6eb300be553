#!/usr/bin/env python3
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measure how long foundation takes across nodes, at rest; prints milliseconds as JSON.

Usage: foundation_latency.py FROM TO COUNT, with two addresses of nodes. An event is published on FROM while a
reader waits for it on TO; a name is registered on FROM and looked up on TO. One clock measures both ends.
Standard library only: it runs on any node.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
import uuid
from typing import Any

PORT = 4100


class Service:
    """One connection to one node."""

    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(address, PORT, timeout=30)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Return the answer to a request; raises where it is no success."""
        headers = {"Content-Type": "application/json"} if body is not None else {}
        said = None if body is None else json.dumps(body)
        self._connection.request(method, "/v1" + path, said, headers)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:300]!r}")
        return json.loads(text)


def event_ms(here: Service, there: Service, name: str, topic: str, after: int) -> tuple[float, int]:
    """Return how long an event took from the request to a waiting reader, and where to read on."""
    got: list[tuple[float, int]] = []

    def read() -> None:
        place = after
        while not got:
            path = f"/events/subscriptions/{name}/events?after={place}&wait_s=10"
            answer = there.ask("GET", path)
            place = answer["revision"]
            if answer["events"]:
                got.append((time.perf_counter(), place))

    reader = threading.Thread(target=read)
    reader.start()
    time.sleep(0.1)  # the reader waits at the other node
    began = time.perf_counter()
    here.ask("POST", "/events", {"topic": topic})
    reader.join()
    return (got[0][0] - began) * 1000, got[0][1]


def lookup_ms(here: Service, there: Service, name: str) -> float:
    """Return how long a lookup of a name took that another node has registered."""
    here.ask("PUT", f"/registry/names/{name}", {"owner": "latency"})
    time.sleep(0.1)
    began = time.perf_counter()
    there.ask("GET", f"/registry/names/{name}")
    took = time.perf_counter() - began
    here.ask("DELETE", f"/registry/names/{name}")
    return took * 1000


def measured(here: Service, there: Service, count: int) -> dict[str, list[float]]:
    """Return so many figures of each."""
    name = f"latency-{uuid.uuid4()}"
    made = here.ask("PUT", f"/events/subscriptions/{name}", {"subscriber": "latency", "pattern": name})
    place, events = made["revision"], []
    for _ in range(count):
        took, place = event_ms(here, there, name, name, place)
        events.append(round(took, 1))
    here.ask("DELETE", f"/events/subscriptions/{name}")
    lookups = [round(lookup_ms(here, there, name), 1) for _ in range(count)]
    return {"event_ms": events, "lookup_ms": lookups}


if __name__ == "__main__":
    print(json.dumps(measured(Service(sys.argv[1]), Service(sys.argv[2]), int(sys.argv[3]))))
