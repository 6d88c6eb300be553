# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What makes a bid valid, and who wins: pure functions from one auction and one act to the auction after it.

Two things never go back: a closed auction stays closed, and the amount that a bid needs only grows. So a
refusal that follows from an auction's past is right at present too, and needs no majority.
"""

from __future__ import annotations

from typing import Any, NamedTuple

Auction = dict[str, Any]
OPEN, CLOSED, SETTLED = "open", "closed", "settled"


class Bid(NamedTuple):
    """An account offers an amount."""

    bidder: str
    amount: int


class Close(NamedTuple):
    """No further bid is taken."""


Act = Bid | Close


class Refused(NamedTuple):
    """The auction does not take it: the type of the problem, and what else it says."""

    kind: str
    more: dict[str, Any]


class Taken(NamedTuple):
    """The auction after an act; the same where the act had been done before."""

    auction: Auction


def opened(auction: str, asked: dict[str, Any], now_s: float) -> Auction:
    """Return a new auction as a request wants it; without `duration_s` it is open until it is closed."""
    duration_s = asked.get("duration_s")
    return {
        "auction": auction,
        "title": asked["title"],
        "seller": asked["seller"],
        "starting_price": int(asked.get("starting_price", 1)),
        "reserve_price": int(asked.get("reserve_price", 0)),
        "increment": int(asked.get("increment", 1)),
        "created_s": now_s,
        "ends_at_s": None if duration_s is None else now_s + duration_s,
        "status": OPEN,
        "bids": 0,
        "highest": None,
        "closed_s": None,
        "winner": None,
        "settled_s": None,
    }


def minimum(auction: Auction) -> int:
    """Return the least amount that a bid needs."""
    highest = auction["highest"]
    least: int = auction["starting_price"] if highest is None else highest["amount"] + auction["increment"]
    return least


def after(auction: Auction, act: Act, now_s: float) -> Taken | Refused:
    """Return what becomes of an auction by an act."""
    return _with_bid(auction, act, now_s) if isinstance(act, Bid) else _closed(auction, now_s)


def _with_bid(auction: Auction, bid: Bid, now_s: float) -> Taken | Refused:
    if auction["status"] != OPEN:
        return Refused("auction-closed", {})
    if bid.bidder == auction["seller"]:
        return Refused("own-auction", {})
    least = minimum(auction)
    if bid.amount < least:
        return Refused("bid-too-low", {"minimum": least})
    number = auction["bids"] + 1
    highest = {"bid": number, "bidder": bid.bidder, "amount": bid.amount, "placed_s": now_s}
    return Taken({**auction, "bids": number, "highest": highest})


def _closed(auction: Auction, now_s: float) -> Taken:
    """Every bid is higher than the ones before it, so the winner is the last, where it meets the reserve."""
    if auction["status"] != OPEN:
        return Taken(auction)
    highest = auction["highest"]
    wins = highest is not None and highest["amount"] >= auction["reserve_price"]
    winner = {name: highest[name] for name in ("bid", "bidder", "amount")} if wins else None
    return Taken({**auction, "status": CLOSED, "closed_s": now_s, "winner": winner})


def settled(auction: Auction, now_s: float) -> Auction:
    """Return an auction whose winner has paid."""
    return {**auction, "status": SETTLED, "settled_s": now_s}
