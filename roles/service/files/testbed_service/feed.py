# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a node's own member has of a service's keys, and their latest changes in order.

A change is known here when the member has it: on a node that is cut off, that is the past. The number of a
change is the revision of etcd that made it; changes of one transaction share it, and are never parted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import aiohttp
from testbed_service.etcd import Gateway, StoreError, after_prefix, decoded, encoded

LOG = logging.getLogger(__name__)
KEPT = 10_000
AGAIN_S = 0.2
LIST_TIMEOUT_S = 2.0


class Held(NamedTuple):
    """What a key holds."""

    value: str
    revision: int
    lease: str | None


class Change(NamedTuple):
    """One change of one key: what it held before, and what it holds now (None: it is gone)."""

    revision: int
    key: str
    before: Held | None
    now: Held | None


class Gone(Exception):
    """Changes that far back are no longer kept; `oldest` is the earliest number to go on from."""

    def __init__(self, oldest: int) -> None:
        super().__init__(str(oldest))
        self.oldest = oldest


class _Compacted(Exception):
    """The member no longer has the changes that were to come next."""


def held_of(kv: dict[str, Any]) -> Held:
    """Return what a key-value of etcd says."""
    return Held(decoded(kv.get("value", "")), int(kv["mod_revision"]), kv.get("lease"))


class Changes:
    """The latest changes by number; pure memory."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept, self._count = kept, 0
        self._groups: deque[tuple[int, list[Change]]] = deque()
        self.floor = 0
        """Every change with a greater number is here."""

    def begin(self, revision: int) -> None:
        """Forget everything; the next change is one after `revision`."""
        self._groups.clear()
        self._count, self.floor = 0, revision

    def add(self, change: Change) -> None:
        """Take the next change."""
        if not self._groups or self._groups[-1][0] != change.revision:
            self._groups.append((change.revision, []))
        self._groups[-1][1].append(change)
        self._count += 1
        while self._count > self._kept and len(self._groups) > 1:
            self.floor, dropped = self._groups.popleft()
            self._count -= len(dropped)

    def after(
        self, revision: int, wanted: Callable[[Change], bool], limit: int
    ) -> tuple[list[Change], int | None]:
        """Return wanted changes after a number, and the number they reach to if there were more than `limit`.

        Changes of one number come together, so there may be a few more than `limit`. Raises Gone.
        """
        if revision < self.floor:
            raise Gone(self.floor)
        later: list[tuple[int, list[Change]]] = []
        for group in reversed(self._groups):
            if group[0] <= revision:
                break
            later.append(group)
        found: list[Change] = []
        for number, changes in reversed(later):
            found += filter(wanted, changes)
            if len(found) >= limit:
                return found, number
        return found, None


class Log:
    """The latest changes of the keys under one prefix, which changes of other keys do not push out."""

    def __init__(self, feed: Feed, prefix: str, kept: int) -> None:
        self._feed, self.prefix, self.changes = feed, prefix, Changes(kept)

    async def after(
        self, revision: int, wanted: Callable[[Change], bool], limit: int, wait_s: float
    ) -> tuple[list[Change], int]:
        """Return wanted changes after a number, and the number to go on from; wait for one. Raises Gone."""
        end = asyncio.get_running_loop().time() + wait_s
        while True:
            news = self._feed.news
            found, reached = self.changes.after(revision, wanted, limit)
            left_s = end - asyncio.get_running_loop().time()
            if found or left_s <= 0:
                return found, max(self._feed.revision, revision) if reached is None else reached
            await _heard(news, left_s)


class Feed:
    """Follows every key under a prefix."""

    def __init__(
        self,
        gateway: Gateway,
        prefix: str,
        kept: int = KEPT,
        leaves_out: Callable[[int], bool] | None = None,
    ) -> None:
        """Make it; with `leaves_out` no log gets the changes of some revisions: a planted bug."""
        self._gateway, self._kept, self._leaves_out = gateway, kept, leaves_out
        self._keys = {"key": encoded(prefix), "range_end": encoded(after_prefix(prefix))}
        self.view: dict[str, Held] = {}
        self.revision = 0
        """The view is complete up to this one."""
        self.news = asyncio.Event()
        """Set, and replaced, when the next change comes."""
        self.whole = Log(self, prefix, kept)
        self._logs = [self.whole]
        self._following = False

    def log(self, prefix: str) -> Log:
        """Return a log of its own for the keys under a prefix; ask for it before the feed follows."""
        log = Log(self, prefix, self._kept)
        self._logs.append(log)
        return log

    async def follow(self) -> None:
        """Follow without end; a stream that breaks goes on where it was."""
        listed = False
        while True:
            try:
                if not listed:
                    await self._list()
                    listed = True
                await self._watch()
            except _Compacted:
                listed = False
            except (TimeoutError, StoreError, aiohttp.ClientError, OSError) as error:
                if self._following:  # once for each time that it breaks, not for each attempt
                    LOG.info("the watch on the store broke: %s %s", type(error).__name__, error)
                self._following = False
            await asyncio.sleep(AGAIN_S)

    async def _list(self) -> None:
        """Begin so far back that the changes to keep come by watching; at present where that is compacted."""
        now = int((await self._range(limit="1"))["header"]["revision"])
        begin = max(now - self._kept, 1)
        try:
            answer = await self._range(revision=str(begin))
        except StoreError:
            answer = await self._range()
            begin = int(answer["header"]["revision"])
        self.view = {decoded(kv["key"]): held_of(kv) for kv in answer.get("kvs", [])}
        self.revision = begin
        for log in self._logs:
            log.changes.begin(begin)
        self._tell()

    async def _range(self, **more: str) -> dict[str, Any]:
        body = {**self._keys, "serializable": True, **more}
        return await self._gateway.ask("/v3/kv/range", body, LIST_TIMEOUT_S, writes=False)

    async def _watch(self) -> None:
        create = {
            **self._keys,
            "start_revision": str(self.revision + 1),
            "prev_kv": True,
            "progress_notify": True,
        }
        async for part in self._gateway.stream("/v3/watch", {"create_request": create}):
            result = part.get("result")
            if result is None:
                raise OSError(str(part.get("error"))[:200])
            if result.get("canceled"):
                if "compact_revision" in result:
                    raise _Compacted
                raise OSError(str(result.get("cancel_reason")))
            if not self._following:
                LOG.info("following the store from revision %d", self.revision)
                self._following = True
            self._take(result)

    def _take(self, result: dict[str, Any]) -> None:
        events = result.get("events", [])
        for event in events:
            change = change_of(event)
            if change.now is None:
                self.view.pop(change.key, None)
            else:
                self.view[change.key] = change.now
            if self._leaves_out is None or not self._leaves_out(change.revision):
                self._keep(change)
            self.revision = max(self.revision, change.revision)
        if not events and not result.get("created"):  # the member says that it has nothing more so far
            self.revision = max(self.revision, int(result["header"]["revision"]))
        if events:
            self._tell()

    def _keep(self, change: Change) -> None:
        for log in self._logs:
            if change.key.startswith(log.prefix):
                log.changes.add(change)

    def _tell(self) -> None:
        news, self.news = self.news, asyncio.Event()
        news.set()

    async def after(
        self, revision: int, wanted: Callable[[Change], bool], limit: int, wait_s: float
    ) -> tuple[list[Change], int]:
        """Do as `Log.after`, of every key that this follows."""
        return await self.whole.after(revision, wanted, limit, wait_s)

    async def reached(self, revision: int, wait_s: float) -> bool:
        """Wait until the view is complete up to a revision that changed it; say whether it came to that."""
        end = asyncio.get_running_loop().time() + wait_s
        while self.revision < revision:
            left_s = end - asyncio.get_running_loop().time()
            if left_s <= 0:
                return False
            await _heard(self.news, left_s)
        return True


async def _heard(news: asyncio.Event, wait_s: float) -> None:
    """Wait for news, at most so long."""
    with contextlib.suppress(asyncio.TimeoutError):
        async with asyncio.timeout(wait_s):  # wait_for forgets a cancellation that comes with the news
            await news.wait()


def change_of(event: dict[str, Any]) -> Change:
    """Return what an event of etcd's watch says."""
    kv, before = event["kv"], event.get("prev_kv")
    now = None if event.get("type") == "DELETE" else held_of(kv)
    return Change(int(kv["mod_revision"]), decoded(kv["key"]), held_of(before) if before else None, now)
