# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The store of a service: operations on etcd, done in groups, with one of three outcomes each.

An operation is done, or raises Refused (certainly not done) or Indeterminate (it may be). While one
transaction is under way, all operations that come meanwhile wait and go together in the next one.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from testbed_service.batch import Operation, Step, answers, request, take
from testbed_service.etcd import Gateway, Refused, StoreError, failure
from testbed_service.mode import Limits, admits, mode_of

PACE_S = 0.02
"""Seconds at least between the beginnings of two transactions: under load, fewer and larger ones."""
BUSY_PACE_S = 0.04
"""The same after a transaction of `BUSY` operations or more: they are what etcd's time goes into."""
BUSY = 5
PROBE_S = 0.5
PROBE_TIMEOUT_S = 1.0


class NoMajority(Refused):
    """It was not even tried, as this node does not reach a majority."""


class _Waiting:
    """An operation in line."""

    def __init__(self, operation: Operation, until_s: float) -> None:
        self.operation, self.until_s = operation, until_s
        self.done: asyncio.Future[Step] = asyncio.get_running_loop().create_future()


class Store:
    """Operations on the node's own member, and whether it reaches a majority."""

    def __init__(
        self,
        gateway: Gateway,
        timeout_s: float,
        limits: Limits,
        observe_batch: Callable[[int, float], None] = lambda *_: None,
    ) -> None:
        self.gateway, self.timeout_s, self.limits = gateway, timeout_s, limits
        self._observe_batch = observe_batch
        self._line: deque[_Waiting] = deque()
        self._sending: asyncio.Task[None] | None = None
        self._next_s = 0.0
        self._majority_s: float | None = None

    @property
    def mode(self) -> str:
        """This node's mode now."""
        return mode_of(time.monotonic(), self._majority_s, self.limits)

    @property
    def majority_age_s(self) -> float | None:
        """Seconds since the latest request began that a majority answered."""
        return None if self._majority_s is None else time.monotonic() - self._majority_s

    async def do(self, operation: Operation) -> Step:
        """Do one operation, together with others."""
        self._admit(operation.writes)
        waiting = _Waiting(operation, time.monotonic() + self.timeout_s)
        self._line.append(waiting)
        if self._sending is None:
            self._sending = asyncio.ensure_future(self._send_all())
        return await waiting.done

    async def do_alone(self, operation: Operation) -> Step:
        """Do one operation in a transaction of its own: one that may make etcd refuse the whole."""
        self._admit(operation.writes)
        return (await self._transact([operation]))[0]

    async def ask(self, path: str, body: dict[str, Any], writes: bool) -> dict[str, Any]:
        """Ask what is no transaction, of leases, and needs a majority."""
        self._admit(writes)
        return await self.gateway.ask(path, body, self.timeout_s, writes)

    def _admit(self, writes: bool) -> None:
        mode = self.mode
        if not admits(mode, writes):
            raise NoMajority(mode)

    async def _send_all(self) -> None:
        while self._line:
            early_s = self._next_s - time.monotonic()
            if early_s > 0:
                await asyncio.sleep(early_s)
            batch = take(self._line)
            self._next_s = time.monotonic() + (BUSY_PACE_S if len(batch) >= BUSY else PACE_S)
            late = [one for one in batch if one.until_s <= time.monotonic()]
            batch = [one for one in batch if one not in late]
            for one in late:
                _fail(one, Refused("waited-too-long"))
            if batch:
                await self._send(batch)
        self._sending = None

    async def _send(self, batch: list[_Waiting]) -> None:
        try:
            steps = await self._transact([one.operation for one in batch])
        except StoreError as error:
            for one in batch:
                # what only reads has changed nothing, whatever became of the rest
                own = error if one.operation.writes else Refused(str(error))
                _fail(one, own)
            return
        for one, step in zip(batch, steps, strict=True):
            if not one.done.done():
                one.done.set_result(step)

    async def _transact(self, batch: list[Operation]) -> list[Step]:
        body, places = request(batch)
        began = time.monotonic()
        writes = any(one.writes for one in batch)
        answer = await self.gateway.ask("/v3/kv/txn", body, self.timeout_s, writes)
        try:
            steps = answers(answer, places)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise failure("bad-answer", writes) from error
        self._proved(began)
        self._observe_batch(len(batch), time.monotonic() - began)
        return steps

    def _proved(self, began_s: float) -> None:
        self._majority_s = began_s if self._majority_s is None else max(self._majority_s, began_s)

    async def watch_majority(self) -> None:
        """Ask for proof of a majority whenever nothing else has given any for a while; without end."""
        body = {"key": "Lw==", "limit": "1", "keys_only": True}  # "/": whatever is there, the log must answer
        while True:
            began, age_s = time.monotonic(), self.majority_age_s
            if age_s is None or age_s >= PROBE_S:
                try:
                    await self.gateway.ask("/v3/kv/range", body, PROBE_TIMEOUT_S, writes=False)
                    self._proved(began)
                except StoreError:
                    pass
            await asyncio.sleep(max(PROBE_S - (time.monotonic() - began), 0.05))


def _fail(waiting: _Waiting, error: StoreError) -> None:
    if not waiting.done.done():
        waiting.done.set_exception(error)
