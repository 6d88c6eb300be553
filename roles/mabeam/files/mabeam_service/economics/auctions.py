# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""AuctionManager: create auctions, take bids, close.

All acts on one auction compare its one key, so that they happen one after the other, whichever node they come
from. What a node has itself is where it begins: where that is the past, the comparison fails.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from typing import Any, NamedTuple

from mabeam_service.economics import auction_rules as rules
from mabeam_service.economics.accounts import Accounts
from mabeam_service.economics.keys import auction_key, auction_prefix, bid_key, settlement_of
from mabeam_service.economics.lines import Lines, Waiting
from mabeam_service.economics.refusals import not_found, refusal
from testbed_service.assembly import Base
from testbed_service.batch import absent, get, put, unchanged, when
from testbed_service.etcd import Refused, StoreError, after_prefix, encoded
from testbed_service.feed import Held, held_of
from testbed_service.web import Answer, Arguments

SHOWN_BIDS = 100
Json = dict[str, Any]


class Outcome(NamedTuple):
    """What became of an act: the auction after it and the revision that made it so, or why it was refused."""

    said: rules.Taken | rules.Refused
    revision: int


class Auctions:
    """The operations on auctions."""

    def __init__(self, base: Base, accounts: Accounts) -> None:
        self._store, self._view, self._publisher = base.store, base.feed, base.publisher
        self._accounts = accounts
        self._lines: Lines[rules.Act, Outcome] = Lines(self._act, base.store.timeout_s)

    async def create(self, arguments: Arguments) -> Answer:
        """Open an auction."""
        asked = arguments.body
        name = asked.get("id") or str(uuid.uuid4())
        await self._accounts.need(asked["seller"])
        auction = rules.opened(name, asked, time.time())
        about = {"auction_id": name, "seller": auction["seller"], "title": auction["title"]}
        operation = when(
            [absent(auction_key(name))],
            [
                put(auction_key(name), json.dumps(auction)),
                self._publisher.event("economics.auction.created", about),
                self._publisher.telemetry(
                    name, "auction.created", {"starting_price": auction["starting_price"]}
                ),
            ],
            [],
        )
        step = await self._store.do_alone(operation)
        if not step.succeeded:
            raise refusal("already-exists", f"there is an auction {name}")
        return Answer(201, {**auction, "revision": step.revision})

    async def read(self, arguments: Arguments) -> Answer:
        """Return an auction with its highest bids."""
        name = arguments.parameters["auction"]
        prefix = auction_prefix(name)
        body = {
            "key": encoded(prefix), "range_end": encoded(after_prefix(prefix)), "limit": str(SHOWN_BIDS + 1),
            "sort_order": "DESCEND", "sort_target": "KEY",
        }  # fmt: skip
        answer = await self._store.ask("/v3/kv/range", body, writes=False)
        documents = [json.loads(held_of(kv).value) for kv in answer.get("kvs", [])]
        auction = next((each for each in documents if "status" in each), None)
        if auction is None:
            raise not_found("auction", name)
        placed = sorted((each for each in documents if "bid" in each), key=lambda bid: -bid["bid"])
        revision = int(answer["header"]["revision"])
        return Answer(200, {**auction, "highest_bids": placed[:SHOWN_BIDS], "revision": revision})

    async def bid(self, arguments: Arguments) -> Answer:
        """Take a bid that is higher than all before."""
        name, asked = arguments.parameters["auction"], arguments.body
        await self._accounts.need(asked["bidder"])
        outcome = await self._lines.act(name, rules.Bid(asked["bidder"], int(asked["amount"])))
        if isinstance(outcome.said, rules.Refused):
            detail = f"{name} does not take {asked['amount']} of {asked['bidder']}"
            raise refusal(outcome.said.kind, detail, **outcome.said.more)
        placed = outcome.said.auction["highest"]
        return Answer(201, {"auction": name, **placed, "revision": outcome.revision})

    async def close(self, arguments: Arguments) -> Answer:
        """Take no further bid, and say who won; of a closed one, say what was said then."""
        outcome = await self.close_named(arguments.parameters["auction"])
        assert isinstance(outcome.said, rules.Taken)
        auction = outcome.said.auction
        winner = auction["winner"]
        order = winner and {
            "payment": settlement_of(auction["auction"]),
            "from": winner["bidder"], "to": auction["seller"], "amount": winner["amount"],
        }  # fmt: skip
        return Answer(200, {**auction, "winning_transaction": order, "revision": outcome.revision})

    async def close_named(self, name: str) -> Outcome:
        """Close an auction by name."""
        return await self._lines.act(name, rules.Close())

    async def _act(self, name: str, line: list[Waiting[rules.Act, Outcome]]) -> None:
        """Do acts on one auction as one transaction, anew as long as another node is first each time."""
        held = self._view.view.get(auction_key(name))
        while line:
            now_s = asyncio.get_running_loop().time()
            for late in [one for one in line if one.until_s <= now_s]:
                line.remove(late)
                late.fail(Refused("waited-too-long"))
            held = held or await self._found(name)
            if held is None:
                for one in line:
                    one.fail(not_found("auction", name))
                return
            held = await self._try(name, held, line)

    async def _found(self, name: str) -> Held | None:
        step = await self._store.do(get(auction_key(name)))
        return held_of(step.found[0]) if step.found else None

    async def _try(self, name: str, held: Held, line: list[Waiting[rules.Act, Outcome]]) -> Held | None:
        """Try a transaction; leave in line what it decided nothing about. Returns what is there."""
        before, now_s = json.loads(held.value), time.time()
        auction, said, requests = before, [], []  # type: Json, list[rules.Taken | rules.Refused], list[Json]
        for one in line:
            result = rules.after(auction, one.act, now_s)
            said.append(result)
            if isinstance(result, rules.Taken) and result.auction is not auction:
                auction = result.auction
                requests += self._told(name, one.act, auction)
        if auction is before:
            _answer(line, said, held.revision)
            return held
        key = auction_key(name)
        change = [put(key, json.dumps(auction)), *requests]
        try:
            step = await self._store.do_alone(when([unchanged(key, held.revision)], change, [get(key).step]))
        except StoreError as error:
            for one, result in zip(line, said, strict=True):  # a refusal may rest on a bid that is in doubt
                changes = isinstance(result, rules.Taken) and result.auction is not before
                one.fail(error if changes else Refused(str(error)))
            line.clear()
            return None
        if step.succeeded:
            _answer(line, said, step.revision)
            return None
        return held_of(step.found[0])

    def _told(self, name: str, act: rules.Act, auction: Json) -> list[Json]:
        """Return what is written beside the auction itself."""
        if isinstance(act, rules.Bid):
            placed = auction["highest"]
            measured = {"amount": placed["amount"], "number": placed["bid"]}
            return [
                put(bid_key(name, placed["bid"]), json.dumps(placed)),
                self._publisher.telemetry(name, "bid.placed", measured, {"bidder": placed["bidder"]}),
            ]
        winner = auction["winner"]
        closed = {"auction_id": name, "bids": auction["bids"], "winner": winner}
        amount = winner["amount"] if winner else 0
        return [
            self._publisher.event("economics.auction.closed", closed),
            self._publisher.telemetry(name, "auction.closed", {"bids": auction["bids"]}),
            self._publisher.telemetry(
                name, "winner.determined", {"amount": amount}, {"bidder": winner and winner["bidder"]}
            ),
        ]


def _answer(
    line: list[Waiting[rules.Act, Outcome]], said: list[rules.Taken | rules.Refused], revision: int
) -> None:
    for one, result in zip(line, said, strict=True):
        one.succeed(Outcome(result, revision))
    line.clear()
