# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""TransactionProcessor: payments between accounts, and of winners to sellers, each exactly once.

A payment has a key: the client's own, or that of the auction which it settles. The transaction that moves
the money writes the payment's key too and needs it to be absent; whoever asks again is answered what was
recorded then.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from mabeam_service.economics import auction_rules, ledger_rules
from mabeam_service.economics.keys import account_key, auction_key, payment_key, settlement_of
from mabeam_service.economics.ledger_rules import Done, Moved, Order
from mabeam_service.economics.refusals import not_found, refusal
from testbed_service.assembly import Base
from testbed_service.batch import absent, get, put, unchanged, when
from testbed_service.etcd import Indeterminate, Refused, decoded
from testbed_service.feed import Held, held_of
from testbed_service.web import Answer, Arguments

PAYMENT_RETRIED_WITHOUT_KEY = "payment_retried_without_key"
RETRIES = 2
PAUSE_S = 0.5
"""Seconds before each of them: what is in doubt has then often come to be."""
Json = dict[str, Any]


class Paid(NamedTuple):
    """A payment, the revision that made it, and whether this request did."""

    payment: Json
    revision: int
    now: bool

    @property
    def answer(self) -> Answer:
        """Return it as the API answers it."""
        return Answer(201 if self.now else 200, {**self.payment, "revision": self.revision})


class Payments:
    """The operations that move money."""

    def __init__(self, base: Base) -> None:
        """Make it; planted, the bug tries what is in doubt again, as payments of their own."""
        self._store, self._view, self._publisher = base.store, base.feed, base.publisher
        self._faulty = base.faulty(PAYMENT_RETRIED_WITHOUT_KEY)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def pay(self, arguments: Arguments) -> Answer:
        """Move money between two accounts."""
        asked = arguments.body
        order = Order(asked["payment"], asked["from"], asked["to"], int(asked["amount"]))
        return (await self._pay_once(order)).answer

    async def read(self, arguments: Arguments) -> Answer:
        """Return a payment."""
        name = arguments.parameters["payment"]
        step = await self._store.do(get(payment_key(name)))
        if not step.found:
            raise not_found("payment", name, revision=step.revision)
        held = held_of(step.found[0])
        return Answer(200, {**json.loads(held.value), "revision": held.revision})

    async def settle(self, arguments: Arguments) -> Answer:
        """Let the winner of an auction pay its seller."""
        name = arguments.parameters["auction"]
        key = auction_key(name)
        held = self._view.view.get(key)
        if (
            held is None or json.loads(held.value)["status"] == auction_rules.OPEN
        ):  # here that may be the past
            step = await self._store.do(get(key))
            if not step.found:
                raise not_found("auction", name)
            held = held_of(step.found[0])
        auction = json.loads(held.value)
        if auction["status"] == auction_rules.OPEN:
            raise refusal("auction-open", f"{name} is open")
        winner = auction["winner"]
        if winner is None:
            raise refusal("no-winner", f"{name} was closed without a winner")
        order = Order(settlement_of(name), winner["bidder"], auction["seller"], winner["amount"], name)
        return (await self._pay_once(order)).answer

    async def _pay_once(self, order: Order) -> Paid:
        retries = RETRIES if self._faulty else 0
        for _ in range(retries):
            try:
                return await self._pay(order)
            except Indeterminate:
                await asyncio.sleep(PAUSE_S)
                order = order._replace(payment=f"{order.payment}:{uuid.uuid4()}"[-255:], auction=None)
        return await self._pay(order)

    async def _pay(self, order: Order) -> Paid:
        """Pay, anew as long as the accounts are changed meanwhile: what was compared in vain did nothing."""
        until_s = asyncio.get_running_loop().time() + self._store.timeout_s
        keys = _keys(order)
        async with self._alone(order):
            held = {key: self._view.view.get(key) for key in keys}
            known = None in [held[key] for key in keys[1:]]
            if known:  # what this node has may be the past
                held = await self._found(keys)
            while asyncio.get_running_loop().time() < until_s:
                known_payment, payer, payee = (_document(held[key]) for key in keys[:3])
                said = ledger_rules.paid(order, known_payment, payer, payee, time.time())
                if isinstance(said, Done):
                    return Paid(said.payment, _revision(held[keys[0]]), now=False)
                if isinstance(said, ledger_rules.Refused):
                    if known or said.kind in ("key-reused", "same-account"):
                        raise refusal(said.kind, f"{order.payment} is not paid", **said.more)
                    held, known = await self._found(keys), True
                    continue
                step = await self._store.do_alone(self._operation(order, said, held))
                if step.succeeded:
                    return Paid(said.payment, step.revision, now=True)
                held, known = {**dict.fromkeys(keys), **_held(step.found)}, True
        raise Refused("contended")

    @asynccontextmanager
    async def _alone(self, order: Order) -> AsyncIterator[None]:
        """Let one payment of an account at a time be under way in this node; in the order of their names."""
        names = sorted({order.payer, order.payee})
        locks = [self._locks.setdefault(name, asyncio.Lock()) for name in names]
        taken: list[asyncio.Lock] = []
        try:
            for lock in locks:
                await lock.acquire()
                taken.append(lock)
            yield
        finally:
            for lock in taken:
                lock.release()

    async def _found(self, keys: list[str]) -> dict[str, Held | None]:
        """Return what a majority has of all keys at one moment."""
        body = {"success": [get(key).step for key in keys]}
        answer = await self._store.ask("/v3/kv/txn", body, writes=False)
        found = [kv for each in answer["responses"] for kv in each["response_range"].get("kvs", [])]
        return {**dict.fromkeys(keys), **_held(found)}

    def _operation(self, order: Order, moved: Moved, held: dict[str, Held | None]) -> Any:
        payment, payer, payee, *auctions = _keys(order)
        told = {
            "transaction_id": order.payment, "auction_id": order.auction,
            "from": order.payer, "to": order.payee, "amount": order.amount,
        }  # fmt: skip
        change = [
            put(payment, json.dumps(moved.payment)),
            put(payer, json.dumps(moved.payer)),
            put(payee, json.dumps(moved.payee)),
            self._publisher.event("economics.transaction.completed", told),
        ]
        for key in auctions:
            auction = _document(held[key])
            assert auction is not None  # none is ever removed, and this one was read
            change += [
                put(key, json.dumps(auction_rules.settled(auction, moved.payment["completed_s"]))),
                self._publisher.telemetry(auction["auction"], "payment.processed", {"amount": order.amount}),
                self._publisher.telemetry(auction["auction"], "auction.settled", {"bids": auction["bids"]}),
            ]
        compare = [
            absent(payment),
            *(unchanged(key, _revision(held[key])) for key in (payer, payee, *auctions)),
        ]
        return when(compare, change, [get(key).step for key in _keys(order)])


def _keys(order: Order) -> list[str]:
    """Return the keys of the payment, who pays, who is paid, and of the auction where one is settled."""
    keys = [payment_key(order.payment), account_key(order.payer), account_key(order.payee)]
    return keys if order.auction is None else [*keys, auction_key(order.auction)]


def _held(found: list[Json]) -> dict[str, Held]:
    return {decoded(kv["key"]): held_of(kv) for kv in found}


def _document(held: Held | None) -> Json | None:
    return None if held is None else json.loads(held.value)


def _revision(held: Held | None) -> int:
    return 0 if held is None else held.revision
