# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The prober: a cheap read and a cheap write through every node, four times a second or as the plan says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from ansible_collections.foundation.testbed.plugins.module_utils.agent.clock import RunClock
from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import Lines
from ansible_collections.foundation.testbed.plugins.module_utils.load.clients import Group, Numbers, Slot

EVERY_S = 0.25
TIMEOUT_S = 1.0


class Probe(NamedTuple):
    """One probe that is due."""

    t_s: float
    node: str
    kind: str


def schedule(nodes: list[str], every_s: float = EVERY_S) -> Iterator[Probe]:
    """Yield the probes of all nodes without end, spread evenly over each round of `every_s`."""
    turns = [(node, kind) for kind in ("read", "write") for node in nodes]
    turn = 0
    while turns:
        for place, (node, kind) in enumerate(turns):
            yield Probe(round(every_s * (turn + place / len(turns)), 6), node, kind)
        turn += 1


class Prober:
    """Sends the probes and writes what became of each into `probes.jsonl`."""

    def __init__(
        self,
        module: ModuleType,
        endpoints: dict[str, str],
        namespace: str,
        out: Path,
        clock: RunClock,
        every_s: float = EVERY_S,
    ) -> None:
        numbers = Numbers({"generator": "prober"})
        self._groups = {
            node: Group(module, {"name": node, "endpoints": {node: address}}, TIMEOUT_S, numbers)
            for node, address in endpoints.items()
        }
        self._namespace, self._clock, self._lines = namespace, clock, Lines(out / "probes.jsonl")
        self._every_s = every_s
        self._open: set[asyncio.Future[None]] = set()
        self._written = 0

    async def run(self) -> None:
        """Probe until cancelled; what is still open then is given its time-out."""
        try:
            for probe in schedule(list(self._groups), self._every_s):
                await self._clock.until(probe.t_s)
                task = asyncio.ensure_future(self._send(probe))
                self._open.add(task)
                task.add_done_callback(self._open.discard)
        finally:
            if self._open:
                await asyncio.wait(set(self._open))
            for slot in (slot for group in self._groups.values() for slot in group.slots):
                await slot.client.close()

    async def _send(self, probe: Probe) -> None:
        group = self._groups[probe.node]
        slot = group.take()
        self._written += 1
        value = self._written if probe.kind == "write" else None
        key = f"{self._namespace}{probe.node}"
        asked = asyncio.ensure_future(slot.client.invoke(probe.kind, key, value))
        await asyncio.wait([asked], timeout=TIMEOUT_S)
        ok, error = _outcome(asked)
        latency_ms = round((self._clock.now_s() - probe.t_s) * 1000.0, 3)
        self._lines.append({**probe._asdict(), "ok": ok, "latency_ms": latency_ms, "error": error})
        asked.add_done_callback(lambda _done: _give(group, slot, _done))


def _outcome(asked: asyncio.Future[Any]) -> tuple[bool, Any]:
    if not asked.done():
        return False, "timeout"
    problem = asked.exception()
    if problem is not None:
        return False, f"{type(problem).__name__}: {problem}"
    return asked.result().type == "ok", asked.result().error


def _give(group: Group, slot: Slot, asked: asyncio.Future[Any]) -> None:
    """Let the client serve again, now that it is free; its own time-out has seen to that."""
    if not asked.cancelled():
        asked.exception()
        group.give(slot, retired=False)
