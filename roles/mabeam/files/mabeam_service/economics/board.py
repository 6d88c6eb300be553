# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What this node knows of all auctions, ready to be asked: pure memory, made of the changes of the store.

It may be the past. An auction comes in when it is created, stands among the open ones until it is closed, and
among the completed ones from its settlement on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from mabeam_service.economics.auction_rules import OPEN, SETTLED
from mabeam_service.economics.keys import PAYMENTS, auction_of
from testbed_service.feed import Change, Held

KEPT = 10_000
"""Completed auctions that are known one by one."""
Json = dict[str, Any]


class Board:
    """Open auctions by name, the latest last; completed ones in the order in which they were."""

    def __init__(self) -> None:
        self.open: dict[str, Json] = {}
        self.completed: list[Json] = []
        self.payments = 0
        self.revision = -1

    def rebuild(self, view: Mapping[str, Held], revision: int) -> None:
        """Begin anew from a view."""
        self.open, self.completed, self.payments = {}, [], 0
        for key, held in sorted(view.items(), key=lambda item: item[1].revision):
            self._put(key, held, fresh=True)
        self.open = dict(sorted(self.open.items(), key=lambda item: float(item[1]["created_s"])))
        self.revision = revision

    def apply(self, changes: Iterable[Change], revision: int) -> None:
        """Take changes in their order; the board is then as of `revision`."""
        for change in changes:
            if change.now is not None:
                self._put(change.key, change.now, fresh=change.before is None)
        self.revision = revision

    def _put(self, key: str, held: Held, fresh: bool) -> None:
        if key.startswith(PAYMENTS):
            self.payments += fresh
            return
        name = auction_of(key)
        if name is None:
            return
        auction = json.loads(held.value)
        if auction["status"] == OPEN:
            self.open[name] = auction
            return
        self.open.pop(name, None)
        if auction["status"] == SETTLED:
            self.completed.append(auction)
            if len(self.completed) > 2 * KEPT:
                del self.completed[:-KEPT]

    def completed_since(self, since_s: float) -> list[Json]:
        """Return the completed auctions that were settled at `since_s` or later, oldest first."""
        return [auction for auction in self.completed if auction["settled_s"] >= since_s]

    def overdue(self, now_s: float) -> list[str]:
        """Return the open auctions whose time is up."""
        return [name for name, each in self.open.items() if (each["ends_at_s"] or now_s + 1) <= now_s]
