# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lines of acts: those on one thing wait while its last transaction is under way, and then go together.

Of many acts on one thing, one transaction at a time is under way in this node; against other nodes it is
compared with what was read, and begun anew where they were first: such a transaction has certainly done
nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

A = TypeVar("A")
R = TypeVar("R")

TOGETHER = 20
"""Acts of one transaction: each brings up to three requests, and etcd takes 128."""


class Waiting(Generic[A, R]):
    """An act in line, and what will become of it."""

    def __init__(self, act: A, until_s: float) -> None:
        self.act, self.until_s = act, until_s
        self.done: asyncio.Future[R] = asyncio.get_running_loop().create_future()

    def succeed(self, result: R) -> None:
        """Say what became of it."""
        if not self.done.done():
            self.done.set_result(result)

    def fail(self, error: BaseException) -> None:
        """Say why nothing, or nothing certain, became of it."""
        if not self.done.done():
            self.done.set_exception(error)


Work = Callable[[str, list[Waiting[A, R]]], Awaitable[None]]
"""Does some acts on one thing, and says of each what became of it."""


class Lines(Generic[A, R]):
    """A line for each thing on which something is under way."""

    def __init__(self, work: Work[A, R], timeout_s: float) -> None:
        self._work, self._timeout_s = work, timeout_s
        self._lines: dict[str, deque[Waiting[A, R]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def act(self, name: str, act: A) -> R:
        """Do an act on a thing, after and together with others."""
        waiting: Waiting[A, R] = Waiting(act, asyncio.get_running_loop().time() + self._timeout_s)
        if name in self._lines:
            self._lines[name].append(waiting)
        else:
            self._lines[name] = deque([waiting])
            task = asyncio.ensure_future(self._serve(name))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await waiting.done

    async def _serve(self, name: str) -> None:
        line = self._lines[name]
        while line:
            together = [line.popleft() for _ in range(min(len(line), TOGETHER))]
            try:
                await self._work(name, together)
            except BaseException as error:
                for one in together:
                    one.fail(error)
                if not isinstance(error, Exception):
                    raise
        del self._lines[name]
