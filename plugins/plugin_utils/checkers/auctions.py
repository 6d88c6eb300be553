# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check that auctions keep their word: one winner, the highest valid bid, and no bid after the close.

Bids of one auction stand in an order in which each is higher than the one before. Bids in doubt may stand or
not. Times are compared across clients, so what is after what allows for the error between their clocks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.anomaly import ended_ns
from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.findings import Finding, result_of
from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.linearizable import CheckResult
from ansible_collections.foundation.testbed.plugins.plugin_utils.history import Operation

NAME = "auction-winner"
OPEN = "open"


@dataclass(slots=True)
class Auction:
    """The history of one auction, by what was asked; only what was done or may have been."""

    key: str
    error_ns: int
    creates: list[Operation] = field(default_factory=list)
    bids: list[Operation] = field(default_factory=list)
    closes: list[Operation] = field(default_factory=list)
    settles: list[Operation] = field(default_factory=list)
    reads: list[Operation] = field(default_factory=list)

    @property
    def operations(self) -> list[Operation]:
        """Return all of them."""
        return [*self.creates, *self.bids, *self.closes, *self.settles, *self.reads]

    @property
    def accepted(self) -> list[Operation]:
        """Return the bids that were answered: they stand."""
        return [bid for bid in self.bids if bid.outcome == "ok"]

    def precedes(self, one: Operation, other: Operation) -> bool:
        """Whether one operation had certainly ended before the other began."""
        return (
            one.outcome == "ok"
            and one.complete_ns is not None
            and one.complete_ns + self.error_ns < other.invoke_ns
        )

    def verdicts(self) -> Iterator[tuple[Operation, Any]]:
        """Yield what says who won, and whom it says (None: nobody)."""
        for close in self.closes:
            if close.outcome == "ok":
                yield close, close.value and tuple(close.value)
        for settle in self.settles:
            if settle.outcome == "ok":
                yield settle, (settle.value[1], settle.value[3])
        for read in self.reads:
            if read.value["status"] != OPEN:
                yield read, read.value["winner"] and tuple(read.value["winner"])


class _Ended:
    """The bids that stand, in the order in which they were answered, with the highest so far."""

    def __init__(self, auction: Auction) -> None:
        self._error_ns = auction.error_ns
        bids = sorted((bid for bid in auction.accepted if bid.complete_ns is not None), key=ended_ns)
        self._ends = [ended_ns(bid) for bid in bids]
        self._highest = list(accumulate(bids, _higher))

    def highest_before(self, one: Operation) -> Operation | None:
        """Return the highest bid that was certainly answered before an operation began."""
        place = bisect_left(self._ends, one.invoke_ns - self._error_ns)
        return self._highest[place - 1] if place else None


def check_winner(operations: Sequence[Operation], clock_error_ns: int = 0) -> CheckResult:
    """Check a history of the workload `auctions`; pure."""
    auctions = auctions_of(operations, clock_error_ns)
    findings = [
        finding
        for auction in auctions.values()
        for rule in (_one_creation, _one_winner, _highest, _none_after_close, _each_higher, _reads, _payee)
        for finding in rule(auction)
    ]
    closed = sum(any(True for _ in auction.verdicts()) for auction in auctions.values())
    why_empty = "" if closed else "no auction was closed"
    checked = sum(len(auction.operations) for auction in auctions.values())
    result = result_of(NAME, len(auctions), checked, findings, {}, why_empty)
    result.detail["closed"] = closed
    return result


def auctions_of(operations: Sequence[Operation], error_ns: int) -> dict[str, Auction]:
    """Return the history of each auction; what was certainly not done is none of it."""
    auctions: dict[str, Auction] = {}
    places = {"create": "creates", "bid": "bids", "close": "closes", "settle": "settles", "auction": "reads"}
    for one in operations:
        if one.f not in places or one.outcome not in ("ok", "info"):
            continue
        if one.f == "auction" and (one.outcome != "ok" or one.value is None):
            continue
        auction = auctions.setdefault(one.key, Auction(one.key, error_ns))
        getattr(auction, places[one.f]).append(one)
    return auctions


def _one_creation(auction: Auction) -> Iterator[Finding]:
    made = [one for one in auction.creates if one.outcome == "ok"]
    if len(made) > 1:
        yield Finding(auction.key, f"it was created {len(made)} times", made)


def _one_winner(auction: Auction) -> Iterator[Finding]:
    told: dict[Any, Operation] = {}
    for one, winner in auction.verdicts():
        told.setdefault(winner, one)
    if len(told) > 1:
        winners = " and ".join(_who(winner) for winner in told)
        yield Finding(auction.key, f"it was won by {winners}", list(told.values()))


def _highest(auction: Auction) -> Iterator[Finding]:
    """The winner is a bid that somebody made, and no higher one stands; without one, none met the reserve."""
    best = max(auction.accepted, key=_amount, default=None)
    reserve = auction.creates[0].value[1] if auction.creates else 0
    for one, winner in auction.verdicts():
        if winner is None:
            if auction.creates and best is not None and _amount(best) >= reserve:
                yield Finding(auction.key, f"nobody won it, although {_said(best)} stands", [best, one])
            continue
        if not any(
            tuple(bid.value) == winner and bid.invoke_ns <= ended_ns(one) + auction.error_ns
            for bid in auction.bids
        ):
            yield Finding(auction.key, f"it was won by {_who(winner)}, a bid that nobody had made", [one])
        if best is not None and _amount(best) > winner[1]:
            yield Finding(
                auction.key, f"it was won by {_who(winner)}, although {_said(best)} stands", [best, one]
            )
        if auction.creates and winner[1] < reserve:
            yield Finding(auction.key, f"it was won by {_who(winner)}, below the reserve of {reserve}", [one])


def _none_after_close(auction: Auction) -> Iterator[Finding]:
    closed = [one for one, _winner in auction.verdicts()]
    first = min(closed, key=ended_ns, default=None)
    for bid in auction.accepted:
        if first is not None and auction.precedes(first, bid):
            yield Finding(auction.key, f"it took {_said(bid)} after it was known to be closed", [first, bid])


def _each_higher(auction: Auction) -> Iterator[Finding]:
    """A bid that stands is higher than all that stood before it was made, and no two are the same amount."""
    amounts: dict[int, list[Operation]] = defaultdict(list)
    for bid in auction.accepted:
        amounts[_amount(bid)].append(bid)
    for same in amounts.values():
        if len(same) > 1:
            yield Finding(auction.key, f"{_said(same[0])} and {_said(same[1])} both stand", same[:2])
    ended = _Ended(auction)
    for bid in auction.accepted:
        before = ended.highest_before(bid)
        if before is not None and _amount(before) > _amount(bid):
            yield Finding(auction.key, f"it took {_said(bid)} after {_said(before)}", [before, bid])


def _reads(auction: Auction) -> Iterator[Finding]:
    """Whoever looks sees every bid that stood before, and no auction open that was closed."""
    ended = _Ended(auction)
    first = min((one for one, _winner in auction.verdicts()), key=ended_ns, default=None)
    for read in auction.reads:
        seen, bid = read.value["highest"], ended.highest_before(read)
        if bid is not None and (seen is None or seen[1] < _amount(bid)):
            shown = "no bid" if seen is None else _who(tuple(seen))
            yield Finding(auction.key, f"{shown} was shown as the highest after {_said(bid)}", [bid, read])
        if read.value["status"] == OPEN and first is not None and auction.precedes(first, read):
            yield Finding(auction.key, "it was shown as open after it was closed", [first, read])


def _payee(auction: Auction) -> Iterator[Finding]:
    for settle in auction.settles:
        if settle.outcome == "ok" and settle.value[2] != auction.key:
            yield Finding(auction.key, f"its winner paid {settle.value[2]}", [settle])


def _higher(one: Operation, other: Operation) -> Operation:
    return max(one, other, key=_amount)


def _amount(bid: Operation) -> int:
    return int(bid.value[1])


def _said(bid: Operation) -> str:
    return f"the bid of {bid.value[1]} by {bid.value[0]}"


def _who(winner: Any) -> str:
    return "nobody" if winner is None else f"{winner[0]} with {winner[1]}"
