# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ids of what was published: a retry has no second effect for as long as its id is remembered.

An id is a key that comes with its event, in one transaction, and vanishes with a lease. Each service takes a
new lease long before the one that it uses ends, so that an id lives for at least `REMEMBERED_S`.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from testbed_service.batch import absent, get, put, when
from testbed_service.etcd import LeaseNotFound, Refused, StoreError
from testbed_service.store import Store

PREFIX = "/foundation-event-ids/"
"""Outside what the feed follows: ids are nobody's events."""
REMEMBERED_S = 600.0
TTL_S = 1200
AGAIN_S = 0.5
SLACK_S = 30.0


class Ids:
    """What was published with an id lately, by anybody."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lease: str | None = None
        self._granted_s = 0.0

    async def once(self, known: str, event: dict[str, Any]) -> tuple[int, bool]:
        """Publish an event unless its id was; return the event's revision, and whether it was there."""
        if self._lease is None or time.monotonic() - self._granted_s > REMEMBERED_S - SLACK_S:
            raise Refused("no-lease")
        key = PREFIX + known
        both = when([absent(key)], [event, put(key, "", self._lease)], [get(key).step], key)
        try:
            step = await self._store.do_alone(both)
        except LeaseNotFound:
            self._lease = None
            raise
        if step.succeeded:
            return step.revision, False
        return int(step.found[0]["mod_revision"]), True

    async def keep_lease(self) -> None:
        """Take a lease, and a new one in good time; without end."""
        while True:
            due_s = self._granted_s + REMEMBERED_S / 2
            if self._lease is None or time.monotonic() >= due_s:
                await self._grant()
            await asyncio.sleep(AGAIN_S)

    async def _grant(self) -> None:
        began_s = time.monotonic()
        try:
            answer = await self._store.ask("/v3/lease/grant", {"TTL": str(TTL_S)}, writes=True)
        except StoreError:
            return
        self._lease, self._granted_s = answer["ID"], began_s
