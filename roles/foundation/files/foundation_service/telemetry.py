# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Telemetry: the current metrics, and the steps of workflows, which the services record as events."""

from __future__ import annotations

import time
from typing import Any

from foundation_service.events import said
from testbed_service.assembly import Base
from testbed_service.etcd import after_prefix, encoded
from testbed_service.events import TELEMETRY, workflow_topic
from testbed_service.feed import Held
from testbed_service.problems import Problem
from testbed_service.web import Answer, Arguments

LOCAL = "local"
LATEST = {
    "key": encoded(TELEMETRY), "range_end": encoded(after_prefix(TELEMETRY)), "sort_order": "DESCEND",
    "sort_target": "MOD", "limit": "1", "keys_only": True,
}  # fmt: skip
"""Asks for the step that was recorded last."""


def steps_of(workflow: str, view: dict[str, Held]) -> list[dict[str, Any]]:
    """Return the steps of a workflow that a view holds, in the order in which they were recorded; pure."""
    topic = workflow_topic(workflow)
    found = [(held.revision, said(held.value)) for key, held in view.items() if key.startswith(TELEMETRY)]
    own = [(revision, each) for revision, each in found if each["topic"] == topic]
    own.sort(key=lambda one: (one[0], one[1]["number"]))
    return [_record(revision, each) for revision, each in own]


def _record(revision: int, found: dict[str, Any]) -> dict[str, Any]:
    payload = found["payload"]
    return {
        "step": payload["step"], "measurements": payload["measurements"], "metadata": payload["metadata"],
        "source": found["source"], "recorded_s": found["published_s"], "revision": revision,
    }  # fmt: skip


class Telemetry:
    """The operations of telemetry."""

    def __init__(self, base: Base) -> None:
        self._base = base

    async def metrics(self, _arguments: Arguments) -> Answer:
        """Return the metrics of this node."""
        base = self._base
        found = base.metrics.current(base.store, base.feed)
        return Answer(200, {"node": base.settings["node"], "time_s": time.time(), "metrics": found})

    async def record(self, arguments: Arguments) -> Answer:
        """Record a step of a workflow."""
        workflow, asked = arguments.parameters["workflow"], arguments.body
        step = await self._base.store.do(
            self._base.publisher.recording(
                workflow, asked["step"], asked.get("measurements"), asked.get("metadata")
            )
        )
        return Answer(201, {"workflow": workflow, "step": asked["step"], "revision": step.revision})

    async def events(self, arguments: Arguments) -> Answer:
        """Return the steps of a workflow: all that were recorded before this was asked."""
        workflow = arguments.parameters["workflow"]
        if arguments.parameters["consistency"] != LOCAL:
            await self._caught_up()
        steps = steps_of(workflow, self._base.feed.view)
        return Answer(200, {"workflow": workflow, "events": steps})

    async def _caught_up(self) -> None:
        """Wait until this node's view has what a majority has recorded."""
        store = self._base.store
        latest = (await store.ask("/v3/kv/range", LATEST, writes=False)).get("kvs", [])
        revision = int(latest[0]["mod_revision"]) if latest else 0
        if not await self._base.feed.reached(revision, store.timeout_s):
            raise Problem("unavailable", "this node has not come so far in time")
