# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""MarketDataService and AnalyticsService: answered from what this node has itself."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import time
from typing import Any

from mabeam_service.economics.auction_rules import minimum
from mabeam_service.economics.auctions import Auctions
from mabeam_service.economics.board import Board
from mabeam_service.economics.keys import ROOT
from mabeam_service.economics.refusals import not_found
from testbed_service.etcd import StoreError
from testbed_service.feed import Change, Feed, Gone
from testbed_service.mode import NORMAL
from testbed_service.problems import Problem
from testbed_service.store import Store
from testbed_service.web import Answer, Arguments

LOG = logging.getLogger(__name__)
PERIODS_S = {"last_minute": 60.0, "last_hour": 3600.0, "last_day": 86400.0}
WAIT_S = 5.0
CLOSE_EVERY_S = 0.5
AT_ONCE = 20
CACHED_S = 1.0
MOST = 200
"""Completed auctions that a report names; its figures are of all."""


def listed(auction: dict[str, Any]) -> dict[str, Any]:
    """Return an open auction as market data shows it."""
    highest = auction["highest"]
    return {
        **{name: auction[name] for name in ("title", "seller", "bids", "ends_at_s")},
        "price": None if highest is None else highest["amount"],
        "minimum_bid": minimum(auction),
    }


def completed(auction: dict[str, Any]) -> dict[str, Any]:
    """Return a completed auction as reports show it."""
    winner = auction["winner"]
    return {
        "auction_id": auction["auction"], "title": auction["title"], "seller": auction["seller"],
        "winner": winner["bidder"], "amount": winner["amount"], "bids": auction["bids"],
        "settled_s": auction["settled_s"],
    }  # fmt: skip


class Market:
    """What goes on and what came of it, as far as this node knows."""

    def __init__(self, feed: Feed) -> None:
        self._feed, self.board = feed, Board()
        self._reports: dict[str, dict[str, Any]] = {}

    async def follow(self) -> None:
        """Keep the board up with the feed; without end."""
        while True:
            try:
                changes, reached = await self._feed.after(self.board.revision, _ours, 1000, WAIT_S)
            except Gone:
                self.board.rebuild(self._feed.view, self._feed.revision)
            else:
                self.board.apply(changes, reached)

    async def read(self, arguments: Arguments) -> Answer:
        """Return the open auctions, the latest first."""
        board, limit = self.board, arguments.parameters["limit"]
        latest = itertools.islice(reversed(board.open.items()), limit)
        return Answer(
            200,
            {
                "active_auctions": {name: listed(auction) for name, auction in latest},
                "open": len(board.open),
                "completed": len(board.completed),
                "payments": board.payments,
                "revision": board.revision,
            },
        )

    async def read_one(self, arguments: Arguments) -> Answer:
        """Return the market data of one open auction."""
        name = arguments.parameters["auction"]
        auction = self.board.open.get(name)
        if auction is None:
            raise not_found("open auction", name)
        return Answer(200, {**listed(auction), "revision": self.board.revision})

    async def report(self, arguments: Arguments) -> Answer:
        """Return what was completed in a period; a report is at most a second old."""
        period, now_s = arguments.parameters["period"], time.time()
        report = self._reports.get(period)
        if report is None or not 0 <= now_s - report["made_s"] < CACHED_S:
            report = self._reports[period] = self._made(period, now_s)
        return Answer(200, report)

    def _made(self, period: str, now_s: float) -> dict[str, Any]:
        found = self.board.completed_since(now_s - PERIODS_S[period])
        volume = sum(auction["winner"]["amount"] for auction in found)
        return {
            "report": "recent_auctions",
            "period": period,
            "completed_auctions": [completed(auction) for auction in found[: -MOST - 1 : -1]],
            "count": len(found),
            "volume": volume,
            "mean_amount": round(volume / len(found), 2) if found else None,
            "made_s": now_s,
            "revision": self.board.revision,
        }


def _ours(change: Change) -> bool:
    return change.key.startswith(ROOT)


async def close_in_time(market: Market, auctions: Auctions, store: Store) -> None:
    """Close auctions whose time is up, without end: every node tries, and the store lets one do it."""
    while True:
        await asyncio.sleep(CLOSE_EVERY_S * (1 + random.random()))
        if store.mode != NORMAL:
            continue
        for name in market.board.overdue(time.time())[:AT_ONCE]:
            try:
                await auctions.close_named(name)
            except (StoreError, Problem) as error:
                LOG.info("auction %s is not closed yet: %s", name, error)
