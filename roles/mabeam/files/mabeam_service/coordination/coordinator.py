# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The work in the background: every node follows what goes on, and the elected one acts on it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator

from mabeam_service.coordination import allocation_rules, consensus_rules, group_rules
from mabeam_service.coordination.act import Act, Coordinator
from mabeam_service.coordination.board import Board
from mabeam_service.coordination.election import Election
from mabeam_service.coordination.keys import ALLOCATIONS, CONSENSUS, GROUPS, ROOT, delete, key_of, read
from testbed_service.assembly import Base
from testbed_service.batch import when
from testbed_service.etcd import StoreError
from testbed_service.feed import Gone

LOG = logging.getLogger(__name__)
PACE_S = 0.02
LOOK_S = 0.25
"""Seconds after which to look again, though nothing has changed, for what only time brings."""
KEPT_S = 3600.0
"""Seconds for which what has ended can be read."""
MOST_DELETES = 60
AT_ONCE = 50
Name = tuple[str, str]


class Work:
    """Follows the board, and does what is next while this node coordinates."""

    def __init__(self, base: Base, board: Board, election: Election, unfenced: bool = False) -> None:
        """Make it; `unfenced` is a planted bug: it compares nothing, and insists on what it once decided."""
        self._base, self._board, self._election, self._unfenced = base, board, election, unfenced
        self._done: dict[Name, int] = {}
        self._insisted: dict[Name, Act] = {}

    async def go_on(self) -> None:
        """Follow and act, without end."""
        while True:
            await self._follow()
            coordinator = self._election.coordinator
            if coordinator is not None:
                await self._act(coordinator)
            await asyncio.sleep(PACE_S)

    async def _follow(self) -> None:
        feed, board = self._base.feed, self._board
        try:
            changes, revision = await feed.after(
                board.revision, lambda change: change.key.startswith(ROOT), 1000, LOOK_S
            )
            board.apply(changes, revision, time.monotonic())
        except Gone:
            board.rebuild(feed.view, feed.revision, time.monotonic())

    async def _act(self, coordinator: Coordinator) -> None:
        self._done = {name: at for name, at in self._done.items() if at > self._board.revision}
        acts = dict(self._next(coordinator, time.monotonic()))
        if self._unfenced:
            acts = self._insisted = {**acts, **self._insisted}
        names = list(acts)[:AT_ONCE]
        await asyncio.gather(*(self._do(name, acts[name], coordinator) for name in names))
        await self._forget(coordinator)

    def _next(self, coordinator: Coordinator, now_s: float) -> Iterator[tuple[Name, Act]]:
        """Yield what is next for each open thing, but for those whose latest act is not on the board yet."""
        board = self._board
        free = group_rules.free_agents(board)
        for name, thing in board.open.items():
            if name in self._done:
                continue
            act = None
            if name[0] == GROUPS:
                act = group_rules.next_act(name[1], thing, board, free, coordinator, now_s)
            elif name[0] == CONSENSUS:
                act = consensus_rules.next_act(name[1], thing, coordinator, now_s)
            elif name[0] == ALLOCATIONS:
                act = allocation_rules.next_act(name[1], thing, board, coordinator)
            if act is not None:
                yield name, act

    async def _do(self, name: Name, act: Act, coordinator: Coordinator) -> None:
        compare = [] if self._unfenced else [self._election.fence(coordinator), *act.compare]
        events = [self._base.publisher.event(topic, told) for topic, told in act.events]
        try:
            step = await self._base.store.do_alone(when(compare, [*act.writes, *events], []))
        except StoreError as error:
            LOG.info("%s %s: not done, or not known to be: %s", *name, error)
            return
        if step.succeeded:  # else something is otherwise than the board said, which it will learn
            self._done[name] = step.revision
        self._insisted.pop(name, None)

    async def _forget(self, coordinator: Coordinator) -> None:
        """Remove one thing that ended long ago."""
        now_s = time.monotonic()
        old = next((name for name, at_s in self._board.ended.items() if now_s - at_s > KEPT_S), None)
        if old is None:
            return
        try:
            parts = sorted(await read(self._base.store, *old), key=lambda part: part == "outcome")
            keys = [key_of(*old, part) for part in parts[:MOST_DELETES]]
            deletes = [delete(key) for key in keys]
            await self._base.store.do_alone(when([self._election.fence(coordinator)], deletes, []))
        except StoreError as error:
            LOG.info("%s %s: not removed: %s", *old, error)
