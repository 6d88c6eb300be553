# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Events in the store: what is published is one key of a ring, written with the change that it tells of.

A ring bounds what the store holds; whoever reads follows the changes of the keys, in the order of the store,
so that an event which was overwritten has still been told. A service writes an event in the transaction of
the change itself: one is never there without the other.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from testbed_service.batch import MAX_STEPS, Operation, put
from testbed_service.etcd import Gateway, StoreError, after_prefix, decoded, encoded

PREFIX = "/foundation/events/"
TELEMETRY = "/foundation/telemetry/"
SLOTS = 1024
"""Events of one ring that the store holds at a time."""
AGAIN_S = 0.5
TIMEOUT_S = 2.0


def workflow_topic(workflow: str) -> str:
    """Return the topic of a workflow's events."""
    return f"telemetry.workflow.{workflow}"


class Ring:
    """Keys that one writer overwrites in turn."""

    def __init__(self, prefix: str, source: str) -> None:
        self._prefix, self._source, self._next = f"{prefix}{source}/", source, 0

    def put(self, topic: str, payload: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return the next key, and the request that writes an event to it."""
        number, self._next = self._next, self._next + 1
        key = f"{self._prefix}{number % SLOTS:04d}"
        value = {
            "topic": topic, "payload": payload, "source": self._source, "number": number,
            "published_s": time.time(),
        }  # fmt: skip
        return key, put(key, json.dumps(value))

    async def go_on(self, gateway: Gateway) -> None:
        """Begin behind what an earlier process of this writer wrote last, so that the oldest goes first."""
        body = {
            "key": encoded(self._prefix), "range_end": encoded(after_prefix(self._prefix)),
            "sort_order": "DESCEND", "sort_target": "MOD", "limit": str(MAX_STEPS),
        }  # fmt: skip
        while True:
            try:
                found = (await gateway.ask("/v3/kv/range", body, TIMEOUT_S, writes=False)).get("kvs", [])
                break
            except StoreError:
                await asyncio.sleep(AGAIN_S)
        latest = [kv for kv in found if kv["mod_revision"] == found[0]["mod_revision"]]
        self._next += max((json.loads(decoded(kv["value"]))["number"] + 1 for kv in latest), default=0)


class Publisher:
    """Writes events in the name of one service on one node.

    What it returns are requests of a transaction, to stand beside the change that an event tells of; its
    events come to readers in the order of their places in the transaction.
    """

    def __init__(self, service: str, node: str) -> None:
        source = f"{service}@{node}"
        self._events, self._telemetry = Ring(PREFIX, source), Ring(TELEMETRY, source)

    def event(self, topic: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Return the request that publishes an event."""
        return self._events.put(topic, payload)[1]

    def telemetry(
        self,
        workflow: str,
        step: str,
        measurements: dict[str, float] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Return the request that records a step of a workflow, which is an event too."""
        return self.recording(workflow, step, measurements, metadata).step

    def publishing(self, topic: str, payload: dict[str, Any]) -> Operation:
        """Return the operation that publishes an event and does nothing else."""
        return _operation(*self._events.put(topic, payload))

    def recording(
        self,
        workflow: str,
        step: str,
        measurements: dict[str, float] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> Operation:
        """Return the operation that records a step of a workflow and does nothing else."""
        payload = {"workflow": workflow, "step": step, "measurements": measurements or {}}
        payload["metadata"] = metadata or {}
        return _operation(*self._telemetry.put(workflow_topic(workflow), payload))

    async def go_on(self, gateway: Gateway) -> None:
        """Go on where an earlier process of this service left its rings; then without end."""
        await asyncio.gather(self._events.go_on(gateway), self._telemetry.go_on(gateway))
        await asyncio.Event().wait()


def _operation(key: str, step: dict[str, Any]) -> Operation:
    return Operation(key, step, writes=True, size=len(step["requestPut"]["value"]))
