# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Auctions: each key is an account, and the auction of which it is the seller; accounts pay each other, too.

A key's life is open, create, bids of other accounts, close, settle; what the mix asks for too early or too
late becomes the next step that makes sense, as far as this generator knows. A payment that is in doubt is
asked for again, with the same name. At the end all accounts are read at one moment, and every payment that
is still in doubt, and every auction.
"""

from __future__ import annotations

import zlib
from typing import Any, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.load.workloads.base import Workload

MIX = {
    "create": 0.1, "bid": 0.4, "close": 0.06, "settle": 0.06,
    "pay": 0.2, "auction": 0.08, "accounts": 0.02, "market": 0.08,
}  # fmt: skip
READ_ONLY = frozenset({"auction", "accounts", "payment", "settlement", "market"})
BIDS = 3
"""Bids that an auction has at least before it is closed."""
ALL = "all"


def deposit(key: str) -> int:
    """Return what the account of a key is opened with, in minor units."""
    return 20_000 + zlib.crc32(key.encode()) % 80_000


def terms(key: str) -> list[int]:
    """Return starting price and reserve of the auction of a key; one in eight is hard to reach."""
    drawn = zlib.crc32(f"{key} terms".encode())
    starting = 100 + drawn % 1000
    return [starting, starting * 3 if drawn % 8 == 0 else starting + drawn % 20]


class Thing:
    """What this generator knows of one key."""

    def __init__(self) -> None:
        self.opened = self.created = self.closed = self.done = False
        self.bids, self.highest = 0, 0


class Auctions(Workload):
    """Lets every auction go through its life."""

    read_only = READ_ONLY
    tells_value = READ_ONLY | {"open", "create", "bid", "close", "settle", "pay"}

    def __init__(self, mix: dict[str, float], first: int, step: int) -> None:
        unknown = set(mix) - set(MIX)
        if unknown:
            raise ValueError(f"workload auctions: mix has {sorted(unknown)}; allowed are {sorted(MIX)}")
        self._first, self._step = first, step
        self._things: dict[str, Thing] = {}
        self._opened: list[str] = []
        self._doubtful: dict[str, list[Any]] = {}
        self._unsettled: dict[str, None] = {}
        self._again: list[str] = []

    def prepare(self, number: int, f: str, key: str, client: str = "") -> tuple[str, Any]:
        """Return the function and value to invoke."""
        thing = self._things.setdefault(key, Thing())
        turn = self._first + (number + 1) * self._step
        if not thing.opened:
            return "open", deposit(key)
        if f in ("accounts", "market"):
            return f, None
        if f == "pay":
            return self._pay(turn, key)
        if not thing.created:
            return "create", terms(key)
        return self._next(turn, f, key, thing)

    def _pay(self, turn: int, key: str) -> tuple[str, Any]:
        """Ask for a payment in doubt again, else for a new one: name, from, to, amount."""
        while self._again:
            name = self._again.pop(0)
            if name in self._doubtful:
                return "pay", self._doubtful[name]
        other = self._other(turn, key)
        return (
            ("accounts", None) if other is None else ("pay", [f"p{turn}", key, other, 1 + turn * 7919 % 997])
        )

    def _next(self, turn: int, f: str, key: str, thing: Thing) -> tuple[str, Any]:
        """Return what comes next in the life of an auction that there is."""
        if f == "auction":
            return f, None
        if thing.done and f in ("bid", "close"):  # nothing is left to do but to pay each other
            return self._pay(turn, key)
        if thing.closed:
            return ("auction" if thing.done and f != "settle" else "settle"), None
        bidder = self._other(turn, key)
        if f in ("close", "settle") and (thing.bids >= BIDS or bidder is None):
            return "close", None
        if bidder is None:
            return "auction", None
        return "bid", [bidder, max(thing.highest + 1, terms(key)[0]) + turn % 37]

    def _other(self, turn: int, key: str) -> Optional[str]:
        """Return another account, a late one rather than an early one."""
        late = [each for each in self._opened[-50:] if each != key]
        return late[turn * 31 % len(late)] if late else None

    def observe(self, f: str, key: str, value: Any, kind: str) -> None:
        """Learn from a completion how far a key is; the value of a failure is the answer in the negative."""
        thing = self._things.get(key)
        if f == "pay":
            self._observe_payment(value, kind)
        if thing is None:
            return
        if f == "open" and (kind == "ok" or value == "already_exists") and not thing.opened:
            thing.opened = True
            self._opened.append(key)
        elif f == "create":
            thing.created = thing.created or kind == "ok" or value == "already_exists"
        elif f == "bid" and kind != "info":
            self._observe_bid(thing, value, kind)
        elif f == "close" and kind == "ok":
            thing.closed, thing.done = True, thing.done or value is None
        elif f == "settle":
            self._observe_settlement(thing, key, value, kind)

    def _observe_payment(self, value: Any, kind: str) -> None:
        if not isinstance(value, list):  # it was refused
            return
        if kind == "info":
            self._doubtful[value[0]] = value
            self._again.append(value[0])
        elif kind == "ok":
            self._doubtful.pop(value[0], None)

    def _observe_bid(self, thing: Thing, value: Any, kind: str) -> None:
        if kind == "ok":
            thing.bids, thing.highest = thing.bids + 1, max(thing.highest, value[1])
        elif isinstance(value, int):  # too low: the least that is enough
            thing.bids, thing.highest = thing.bids + 1, max(thing.highest, value - 1)
        elif value == "closed":
            thing.closed = True

    def _observe_settlement(self, thing: Thing, key: str, value: Any, kind: str) -> None:
        if kind == "info":
            self._unsettled[key] = None
        elif kind == "ok":
            self._unsettled.pop(key, None)
        thing.done = thing.done or kind == "ok" or value == "no_winner"

    def final_reads(self) -> list[tuple[str, str]]:
        """Return (f, key) of what to read when all is over."""
        auctions = [("auction", key) for key, thing in self._things.items() if thing.created]
        payments = [("payment", name) for name in self._doubtful]
        return [("accounts", ALL), *payments, *(("settlement", key) for key in self._unsettled), *auctions]
