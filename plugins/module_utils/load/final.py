# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The last read of everything that a run wrote, retried in the open until it is answered."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.load.clients import Group
from ansible_collections.foundation.testbed.plugins.module_utils.load.engine import Engine
from ansible_collections.foundation.testbed.plugins.module_utils.load.schedule import NS, Op

WORKERS = 8
PAUSE_S = 0.1
NOTHING: dict[str, Any] = {"keys": 0, "read": 0, "unread": []}


def failover_spec(clients: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the client group for the final read: the failover group, else one over all endpoints."""
    for spec in clients:
        if not spec["pinned"]:
            return spec
    endpoints = {name: address for spec in clients for name, address in spec["endpoints"].items()}
    return {"name": "failover", "pinned": False, "endpoints": endpoints, "options": {}}


class FinalRead:
    """Reads every key; each attempt is an operation of its own in the history, with phase `final`.

    A workload may name the client group that is to read, and ask again until it has what it wants.
    """

    def __init__(self, engine: Engine, first_number: int) -> None:
        spec = failover_spec(engine.program["clients"])
        self._engine, self._numbers = engine, count(first_number)
        self._group: Group = engine.groups.get(spec["name"]) or engine.add_group(spec)
        self._todo = engine.workload.final_reads()
        self._deadline_ns = engine.now_ns() + int(engine.program["final_read_timeout_s"] * NS)
        self._unread: list[str] = []

    async def run(self) -> dict[str, Any]:
        """Return how many keys there were, how many were read, and which were not."""
        keys = len(self._todo)
        self._todo.reverse()
        await asyncio.gather(*(self._work() for _ in range(WORKERS)))
        return {"keys": keys, "read": keys - len(self._unread), "unread": sorted(self._unread)}

    async def _work(self) -> None:
        while self._todo:
            f, key, *client = self._todo.pop()
            group = self._engine.groups[client[0]] if client else self._group
            if not await self._read(f, key, group):
                self._unread.append(f"{key} ({client[0]})" if client else key)

    async def _read(self, f: str, key: str, group: Group) -> bool:
        while self._engine.now_ns() < self._deadline_ns:
            if await self._attempt(f, key, group) and self._engine.workload.ended(f, key, group.name):
                return True
            await asyncio.sleep(PAUSE_S)
        return False

    async def _attempt(self, f: str, key: str, group: Group) -> bool:
        op = Op(next(self._numbers), self._engine.now_ns(), group.name, f, key)
        f, value = self._engine.workload.prepare_last(op.number, f, key, group.name)
        flight = self._engine.begin(op, group.take(), f, value, "final")
        self._engine.recorder.flush()
        flight.task = asyncio.ensure_future(self._engine.execute(flight))
        return (await flight.task).type == "ok"
