# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check that money is conserved: at the end each account holds what its deposit and its payments make.

A payment has a name, and however often it was asked for, it counts once where it was answered, and never
where every answer said that it was certainly not made. One that stayed in doubt is asked for by name at the
end: the revision of the store at which it was made, or at which there was none, says whether the last look at
the accounts has it. What even that leaves open may have been or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, NamedTuple

from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.findings import Finding, result_of
from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.linearizable import CheckResult
from ansible_collections.foundation.testbed.plugins.plugin_utils.history import Operation

NAME = "money-conserved"
MOST_OPEN = 12
"""Payments that neither look decides, of which every combination is tried."""
TOTAL = "total"
OF_AUCTION = "auction:"


class Move(NamedTuple):
    """What a payment moves."""

    payer: str
    payee: str
    amount: int


@dataclass(slots=True)
class Payment:
    """All that was asked and answered of one payment."""

    asked: list[Operation] = field(default_factory=list)
    moves: dict[Move, Operation] = field(default_factory=dict)
    """What answers said that it moved; more than one is a fault of its own."""
    revisions: dict[int, Operation] = field(default_factory=dict)
    acknowledged: list[Operation] = field(default_factory=list)
    absent_at: int = -1
    """The latest revision at which there was none."""
    certain: bool = True
    """Whether every answer said what became of it."""


def check_money(operations: Sequence[Operation], clock_error_ns: int = 0) -> CheckResult:
    """Check a history of the workload `auctions`; pure. Clocks do not matter to it: revisions order."""
    done = [one for one in operations if one.outcome != "drop"]
    looks = [one for one in done if one.f == "accounts" and one.outcome == "ok"]
    payments = payments_of(done)
    findings = [*_in_each_look(looks), *_of_each_payment(payments)]
    last = max(
        (one for one in looks if one.phase == "final"),
        key=lambda one: int(one.value["revision"]),
        default=None,
    )
    accounts = {one.key for one in done if one.f == "open"}
    doubts: dict[str, str] = {}
    if last is not None:
        told = last.value["accounts"]
        findings += [*_of_deposits(done, last)]
        found, doubts = _of_balances(payments, last)
        findings += found
        accounts |= set(told)
    why_empty = "" if last is not None else "nobody saw all accounts at the end"
    return result_of(NAME, len(accounts), len(done), findings, doubts, why_empty)


def payments_of(operations: Sequence[Operation]) -> dict[str, Payment]:
    """Return all payments by name; settlements are named after their auctions."""
    payments: dict[str, Payment] = {}
    for one in operations:
        name = _name(one)
        if name is None:
            continue
        payment = payments.setdefault(name, Payment())
        if one.f in ("pay", "settle"):
            payment.asked.append(one)
            payment.certain = payment.certain and one.outcome != "info"
        if one.outcome == "ok" and isinstance(one.value, Mapping):
            payment.absent_at = max(payment.absent_at, int(one.value["absent_at"]))
        elif one.outcome == "ok":
            payer, payee, amount, revision = one.value[1:]
            payment.moves.setdefault(Move(payer, payee, amount), one)
            payment.revisions.setdefault(revision, one)
            if one.f in ("pay", "settle"):
                payment.acknowledged.append(one)
        elif one.f == "pay" and one.outcome == "info":
            payment.moves.setdefault(Move(*one.value[1:4]), one)
    return payments


def _name(one: Operation) -> str | None:
    if one.f in ("settle", "settlement"):
        return OF_AUCTION + one.key
    if one.f == "payment":
        return one.key
    return str(one.value[0]) if one.f == "pay" and isinstance(one.value, (list, tuple)) else None


def _in_each_look(looks: Sequence[Operation]) -> Iterator[Finding]:
    """At every moment the balances are the deposits, and none is below zero."""
    for look in looks:
        told = look.value["accounts"]
        balances, deposits = (sum(each[place] for each in told.values()) for place in (0, 1))
        if balances != deposits:
            sentence = f"the balances were {balances} in all, although {deposits} had been deposited"
            yield Finding(TOTAL, sentence, [look])
        for name, (balance, _deposit) in told.items():
            if balance < 0:
                yield Finding(name, f"its balance was {balance}", [look])


def _of_each_payment(payments: Mapping[str, Payment]) -> Iterator[Finding]:
    """Whoever asks again is answered what was recorded first."""
    for name, payment in payments.items():
        if len(payment.moves) > 1 or len(payment.revisions) > 1:
            told = [*payment.moves.values(), *payment.revisions.values()]
            sentence = (
                f"payment {name} was answered in {max(len(payment.moves), len(payment.revisions))} ways"
            )
            yield Finding(
                next(iter(payment.moves)).payer, sentence, list({one.op: one for one in told}.values())
            )


def _of_deposits(operations: Sequence[Operation], last: Operation) -> Iterator[Finding]:
    """Every account that was opened is there, with its deposit."""
    told = last.value["accounts"]
    for one in operations:
        if (
            one.f != "open"
            or one.outcome != "ok"
            or one.complete_ns is None
            or one.complete_ns > last.invoke_ns
        ):
            continue
        there = told.get(one.key)
        if there is None:
            yield Finding(one.key, "it was opened and is not there", [one, last])
        elif there[1] != one.value:
            yield Finding(one.key, f"{one.value} was deposited and {there[1]} is known", [one, last])


def _made(payment: Payment, last: Operation) -> bool | None:
    """Whether the last look at the accounts has a payment; None when it may or may not."""
    revision = int(last.value["revision"])
    if any(one.complete_ns is not None and one.complete_ns < last.invoke_ns for one in payment.acknowledged):
        return True  # whatever its revision
    if payment.revisions:
        return min(payment.revisions) <= revision
    return False if payment.certain or payment.absent_at >= revision else None


def _of_balances(payments: Mapping[str, Payment], last: Operation) -> tuple[list[Finding], dict[str, str]]:
    """Compare every account with its deposit and its payments; open ones may have been made or not."""
    told = last.value["accounts"]
    expected = {name: deposit for name, (_balance, deposit) in told.items()}
    open_moves, unknown = [], []  # type: list[Move], list[str]
    for name, payment in payments.items():
        made, move = _made(payment, last), next(iter(payment.moves), None)
        if made is False:
            continue
        if move is None:  # a settlement in doubt that nobody could tell anything of
            unknown.append(name)
        elif made:
            _apply(expected, move)
        else:
            open_moves.append(move)
    if unknown or len(open_moves) > MOST_OPEN:
        touched = {name for move in open_moves for name in (move.payer, move.payee)} or set(told)
        doubts = dict.fromkeys(touched, "a payment stayed in doubt: nobody could tell whether it was made")
        return [], doubts
    balances = {name: balance for name, (balance, _deposit) in told.items()}
    if any(_with(expected, chosen) == balances for chosen in _choices(open_moves)):
        return [], {}
    return [
        Finding(name, _sentence(expected.get(name), balances.get(name)), _of_account(payments, name, last))
        for name in sorted({*expected, *balances})
        if expected.get(name) != balances.get(name)
    ], {}


def _choices(moves: Sequence[Move]) -> Iterator[list[Move]]:
    for choice in product((False, True), repeat=len(moves)):
        yield [move for move, chosen in zip(moves, choice, strict=True) if chosen]


def _with(expected: Mapping[str, int], moves: Sequence[Move]) -> dict[str, int]:
    after = dict(expected)
    for move in moves:
        _apply(after, move)
    return after


def _apply(balances: dict[str, int], move: Move) -> None:
    balances[move.payer] = balances.get(move.payer, 0) - move.amount
    balances[move.payee] = balances.get(move.payee, 0) + move.amount


def _sentence(expected: int | None, balance: int | None) -> str:
    if balance is None:
        return "money was paid to or from it, and it is not there"
    return f"it holds {balance}, although its deposit and its payments make {expected}"


def _of_account(payments: Mapping[str, Payment], name: str, last: Operation) -> list[Operation]:
    """Return the requests that concern an account, those in doubt first, and the last look."""
    own: list[Any] = [
        one
        for payment in payments.values()
        if any(name in (move.payer, move.payee) for move in payment.moves)
        for one in payment.asked
        if one.outcome != "fail"
    ]
    return [*sorted(own, key=lambda one: (one.outcome != "info", one.invoke_ns))[:10], last]
