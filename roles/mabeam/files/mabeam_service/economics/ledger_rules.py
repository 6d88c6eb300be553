# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a payment does to accounts: pure functions. Amounts are whole minor units; money is moved, never made.

The one source of money is the deposit with which an account is opened.
"""

from __future__ import annotations

from typing import Any, NamedTuple

Account = dict[str, Any]
Payment = dict[str, Any]


class Order(NamedTuple):
    """What is to be paid; `payment` is its key: under one key money moves at most once."""

    payment: str
    payer: str
    payee: str
    amount: int
    auction: str | None = None


class Refused(NamedTuple):
    """It cannot be paid: the type of the problem, and what else it says."""

    kind: str
    more: dict[str, Any]


class Moved(NamedTuple):
    """Both accounts and the payment after it."""

    payer: Account
    payee: Account
    payment: Payment


class Done(NamedTuple):
    """It had been paid before: what was recorded then."""

    payment: Payment


def account_of(account: str, deposit: int, now_s: float) -> Account:
    """Return a new account."""
    return {"account": account, "balance": deposit, "deposit": deposit, "opened_s": now_s}


def paid(
    order: Order, known: Payment | None, payer: Account | None, payee: Account | None, now_s: float
) -> Moved | Done | Refused:
    """Return what becomes of an order; `known` is the payment that was made under its key, if one was."""
    if known is not None:
        same = (known["from"], known["to"], known["amount"]) == (order.payer, order.payee, order.amount)
        return Done(known) if same else Refused("key-reused", {})
    if order.payer == order.payee:
        return Refused("same-account", {})
    if payer is None or payee is None:
        return Refused("not-found", {"account": order.payer if payer is None else order.payee})
    if payer["balance"] < order.amount:
        return Refused("insufficient-funds", {"balance": payer["balance"]})
    return Moved(
        {**payer, "balance": payer["balance"] - order.amount},
        {**payee, "balance": payee["balance"] + order.amount},
        {
            "payment": order.payment,
            "from": order.payer,
            "to": order.payee,
            "amount": order.amount,
            "auction": order.auction,
            "completed_s": now_s,
        },
    )
