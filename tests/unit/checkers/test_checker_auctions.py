# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The checkers of auctions: what keeps the rules passes, and each way to break one is found."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.auctions import check_winner
from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.money import check_money
from ansible_collections.foundation.testbed.plugins.plugin_utils.history import Operation
from hypothesis import given, settings
from hypothesis import strategies as st

SECOND = 1_000_000_000


def op(f: str, key: str, value: Any, start: float, end: float, outcome: str = "ok", **more: Any) -> Operation:
    """One operation of a client of its own."""
    times = (int(start * SECOND), int(end * SECOND))
    number = int(start * 1000)
    base = Operation(
        "o-0", number, number, "any", f, key, value, *times, times[0], "n1", outcome, None, "main"
    )
    return replace(base, **more)


def look(at: float, revision: int, phase: str = "final", **accounts: list[int]) -> Operation:
    value = {"revision": revision, "accounts": accounts}
    return op("accounts", "all", value, at, at + 0.5, phase=phase)


OPEN = [op("open", "x", 100, 0, 1), op("open", "y", 50, 0, 1)]
PAID = op("pay", "x", ["p1", "x", "y", 30, 7], 2, 3)
DOUBT = op("pay", "x", ["p1", "x", "y", 30], 2, 3, "info")
THERE = op("payment", "p1", ["p1", "x", "y", 30, 7], 11, 12, phase="final")


def absent(revision: int) -> Operation:
    return op("payment", "p1", {"absent_at": revision}, 11, 12, phase="final")


AGAIN = replace(PAID, op=9, invoke_ns=SECOND * 4)
MOVED, UNMOVED = {"x": [70, 100], "y": [80, 50]}, {"x": [100, 100], "y": [50, 50]}
TWICE = {"x": [40, 100], "y": [110, 50]}
SETTLED = op("settle", "a", ["a", "x", "y", 30, 7], 2, 3)
GOOD_MONEY = {
    "paid": [*OPEN, PAID, look(10, 9, **MOVED)],
    "refused": [*OPEN, op("pay", "x", "insufficient_funds", 2, 3, "fail"), look(10, 9, **UNMOVED)],
    "asked twice, answered alike": [*OPEN, PAID, AGAIN, look(10, 9, **MOVED)],
    "in doubt and made": [*OPEN, DOUBT, THERE, look(10, 9, **MOVED)],
    "in doubt and not made": [*OPEN, DOUBT, absent(9), look(10, 9, **UNMOVED)],
    "in doubt and made after the look": [*OPEN, DOUBT, THERE, look(10, 6, **UNMOVED)],
    "in doubt, either way": [*OPEN, DOUBT, absent(5), look(10, 9, **MOVED)],
    "in doubt, either way (not)": [*OPEN, DOUBT, absent(5), look(10, 9, **UNMOVED)],
    "in doubt, then answered": [*OPEN, DOUBT, AGAIN, look(10, 9, **MOVED)],
    "settled": [*OPEN, SETTLED, look(10, 9, **MOVED)],
    "settled in doubt": [
        *OPEN, op("settle", "a", None, 2, 3, "info"),
        op("settlement", "a", ["a", "x", "y", 30, 7], 11, 12), look(10, 9, **MOVED),
    ],
    "opened in doubt": [*OPEN, op("open", "z", 9, 0, 1, "info"), look(10, 9, **UNMOVED, z=[9, 9])],
}  # fmt: skip
BAD_MONEY = {
    "paid twice": ([*OPEN, PAID, look(10, 9, **TWICE)], {"x", "y"}),
    "paid twice, in doubt": ([*OPEN, DOUBT, THERE, look(10, 9, **TWICE)], {"x", "y"}),
    "forgotten": ([*OPEN, PAID, look(10, 9, **UNMOVED)], {"x", "y"}),
    "forgotten, though its revision is later": ([*OPEN, PAID, look(10, 6, **UNMOVED)], {"x", "y"}),
    "made although refused": (
        [*OPEN, op("pay", "x", ["p1", "x", "y", 30], 2, 3, "fail"), look(10, 9, **MOVED)],
        {"x", "y"},
    ),
    "made although absent": ([*OPEN, DOUBT, absent(9), look(10, 9, **MOVED)], {"x", "y"}),
    "from nowhere": ([*OPEN, look(10, 9, x=[101, 100], y=[50, 50])], {"total", "x"}),
    "from nowhere for a moment": (
        [*OPEN, look(5, 6, "main", x=[99, 100], y=[50, 50]), look(10, 9, **UNMOVED)],
        {"total"},
    ),
    "below zero": ([*OPEN, look(10, 9, x=[-50, 100], y=[200, 50])], {"x", "y"}),
    "lost account": ([*OPEN, look(10, 9, x=[100, 100])], {"y"}),
    "another deposit": ([*OPEN, look(10, 9, x=[90, 90], y=[50, 50])], {"x"}),
    "another answer to the same key": (
        [*OPEN, PAID, op("pay", "x", ["p1", "x", "y", 30, 8], 4, 5), look(10, 9, **MOVED)],
        {"x"},
    ),
    "settled twice": ([*OPEN, SETTLED, look(10, 9, **TWICE)], {"x", "y"}),
}  # fmt: skip


@pytest.mark.parametrize("history", GOOD_MONEY.values(), ids=GOOD_MONEY)
def test_money_that_is_conserved_passes(history: list[Operation]) -> None:
    result = check_money(history)
    assert (result.name, result.verdict, result.reason) == ("money-conserved", "pass", "")


@pytest.mark.parametrize(("history", "keys"), BAD_MONEY.values(), ids=BAD_MONEY)
def test_money_that_is_not_conserved_is_found(history: list[Operation], keys: set[str]) -> None:
    result = check_money(history)
    assert result.verdict == "fail" and set(result.detail["failed_keys"]) == keys
    assert all(each["operations"] and each["window_s"][1] > 0 for each in result.anomalies)


def test_without_a_look_at_the_end_money_is_undecided() -> None:
    assert check_money([*OPEN, PAID]).verdict == "unknown"
    assert check_money([*OPEN, PAID, look(10, 9, "main", **MOVED)]).verdict == "unknown"
    lost = [*OPEN, op("settle", "a", None, 2, 3, "info"), look(10, 9, **UNMOVED)]
    assert check_money(lost).verdict == "unknown"


def simulated(seed: int, twice: bool) -> list[Operation]:
    """A load on right accounts; with `twice`, one payment in doubt is made once more."""
    rng = random.Random(seed)
    names = ["a", "b", "c"]
    deposits = {name: rng.randint(100, 1000) for name in names}
    balances, revision, history = dict(deposits), 1, []  # type: dict[str, int], int, list[Operation]
    history += [op("open", name, deposits[name], 0, 1) for name in names]
    reads: list[Operation] = []
    for number in range(rng.randint(2, 25)):
        payer, payee = rng.sample(names, 2)
        amount, at = rng.randint(1, 60), 2.0 + number
        fate = "doubt" if twice and number == 0 else rng.choice(["ok", "ok", "doubt", "lost", "open", "no"])
        value = [f"p{number}", payer, payee, amount]
        if fate in ("ok", "doubt"):
            times = 2 if twice and number == 0 else 1
            revision += times
            balances[payer] -= amount * times
            balances[payee] += amount * times
        if fate == "ok":
            history.append(op("pay", payer, [*value, revision], at, at + 1))
        elif fate == "no":
            history.append(op("pay", payer, value, at, at + 1, "fail"))
        else:
            history.append(op("pay", payer, value, at, at + 1, "info"))
            known = [*value, revision] if fate == "doubt" else {"absent_at": 99 if fate == "lost" else 1}
            reads.append(op("payment", value[0], known, 60, 61, phase="final"))
    if any(balance < 0 for balance in balances.values()):
        return simulated(seed + 1_000_003, twice)
    told = {name: [balances[name], deposits[name]] for name in names}
    return [*history, look(50, 90, **told), *reads]


@settings(max_examples=200)
@given(st.integers(0, 10**6))
def test_right_accounts_always_pass(seed: int) -> None:
    assert check_money(simulated(seed, twice=False)).verdict == "pass"


@settings(max_examples=200)
@given(st.integers(0, 10**6))
def test_one_payment_made_twice_never_passes_unless_one_in_doubt_explains_it(seed: int) -> None:
    """A payment that nobody can tell anything of may make up for it, so that there must be none."""
    history = [one for one in simulated(seed, twice=True) if one.value != {"absent_at": 1}]
    left = {one.key for one in history if one.f == "payment"}
    if all(one.outcome != "info" or one.value[0] in left for one in history if one.f == "pay"):
        assert check_money(history).verdict == "fail"


CREATE = op("create", "a", [10, 20], 0, 1)


def bid(who: str, amount: int, start: float, end: float, outcome: str = "ok") -> Operation:
    return op("bid", "a", [who, amount], start, end, outcome)


def close(start: float, winner: Any, outcome: str = "ok") -> Operation:
    return op("close", "a", winner, start, start + 1, outcome)


def seen(start: float, status: str, highest: Any, winner: Any = None) -> Operation:
    value = {"status": status, "bids": 0, "highest": highest, "winner": winner}
    return op("auction", "a", value, start, start + 1)


GOOD = {
    "the highest wins": [
        CREATE, bid("x", 15, 2, 3), bid("y", 25, 4, 5), close(6, ["y", 25]), close(8, ["y", 25]),
    ],
    "below the reserve": [CREATE, bid("x", 15, 2, 3), close(6, None), seen(8, "closed", ["x", 15])],
    "in doubt and won": [CREATE, bid("x", 25, 2, 3), bid("y", 30, 4, 5, "info"), close(6, ["y", 30])],
    "in doubt and not there": [CREATE, bid("x", 25, 2, 3), bid("y", 30, 4, 5, "info"), close(6, ["x", 25])],
    "at once with the close": [CREATE, bid("x", 25, 2, 3), bid("y", 30, 6.5, 9), close(6, ["y", 30])],
    "at once, the lower first": [CREATE, bid("x", 25, 2, 5), bid("y", 24, 3, 4), close(6, ["x", 25])],
    "close in doubt": [
        CREATE, bid("x", 25, 2, 3), close(4, None, "info"), bid("y", 30, 6, 7), close(8, ["y", 30]),
    ],
    "settled": [
        CREATE, bid("x", 25, 2, 3), close(4, ["x", 25]), op("settle", "a", ["a", "x", "a", 25, 9], 6, 7),
        seen(8, "settled", ["x", 25], ["x", 25]),
    ],
}  # fmt: skip
BAD = {
    "not the highest": [CREATE, bid("x", 25, 2, 3), bid("y", 30, 4, 5), close(6, ["x", 25])],
    "two winners": [
        CREATE, bid("x", 25, 2, 3), bid("y", 30, 4, 5, "info"), close(6, ["x", 25]), close(8, ["y", 30]),
    ],
    "after the close": [CREATE, bid("x", 25, 2, 3), close(4, ["x", 25]), bid("y", 30, 6, 7)],
    "nobody's bid": [CREATE, bid("x", 25, 2, 3), close(4, ["z", 99])],
    "a bid made later": [CREATE, close(4, ["x", 25]), bid("x", 25, 6, 7, "info")],
    "nobody, though the reserve was met": [CREATE, bid("x", 25, 2, 3), close(4, None)],
    "below the reserve": [CREATE, bid("x", 15, 2, 3), close(4, ["x", 15])],
    "a lower bid taken": [CREATE, bid("x", 25, 2, 3), bid("y", 24, 4, 5), close(6, ["x", 25])],
    "the same amount twice": [CREATE, bid("x", 25, 2, 5), bid("y", 25, 3, 4), close(6, ["x", 25])],
    "stale look": [CREATE, bid("x", 25, 2, 3), seen(4, "open", None), close(6, ["x", 25])],
    "open after the close": [CREATE, bid("x", 25, 2, 3), close(4, ["x", 25]), seen(6, "open", ["x", 25])],
    "a look with another winner": [
        CREATE, bid("x", 25, 2, 3), bid("y", 30, 2, 3, "info"), close(4, ["x", 25]),
        seen(6, "closed", ["y", 30], ["y", 30]),
    ],
    "paid by another": [
        CREATE, bid("x", 25, 2, 3), bid("y", 24, 2, 3), close(4, ["x", 25]),
        op("settle", "a", ["a", "y", "a", 24, 9], 6, 7),
    ],
    "paid to another": [
        CREATE, bid("x", 25, 2, 3), close(4, ["x", 25]), op("settle", "a", ["a", "x", "b", 25, 9], 6, 7),
    ],
    "created twice": [CREATE, op("create", "a", [10, 20], 1, 2), bid("x", 25, 2, 3), close(4, ["x", 25])],
}  # fmt: skip


@pytest.mark.parametrize("history", GOOD.values(), ids=GOOD)
def test_an_auction_that_keeps_the_rules_passes(history: list[Operation]) -> None:
    result = check_winner(history)
    assert (result.name, result.verdict, result.reason) == ("auction-winner", "pass", "")


@pytest.mark.parametrize("history", BAD.values(), ids=BAD)
def test_an_auction_that_breaks_a_rule_is_found(history: list[Operation]) -> None:
    result = check_winner(history)
    assert result.verdict == "fail" and result.detail["failed_keys"] == ["a"]
    assert result.anomalies[0]["operations"] and result.reason


def test_what_may_be_the_error_of_clocks_is_no_violation_and_nothing_closed_is_undecided() -> None:
    late = [CREATE, bid("x", 25, 2, 3), close(4, ["x", 25]), bid("y", 30, 5.1, 7, "ok")]
    assert check_winner(late, 0).verdict == "fail"
    late[-1] = bid("y", 25, 5.1, 7, "fail")
    assert check_winner(late).verdict == "pass"
    apart = [CREATE, bid("x", 25, 2, 3), seen(3.1, "open", None), close(4, ["x", 25])]
    assert check_winner(apart, 0).verdict == "fail" and check_winner(apart, SECOND).verdict == "pass"
    assert check_winner([CREATE, bid("x", 25, 2, 3)]).verdict == "unknown"


@settings(max_examples=200)
@given(st.integers(0, 10**6))
def test_right_auctions_always_pass(seed: int) -> None:
    """Bids and closes at random instants within their windows, on an auction that keeps the rules."""
    rng = random.Random(seed)
    history, acts = [CREATE], []
    for number in range(rng.randint(1, 15)):
        start, length = rng.uniform(2, 12), rng.uniform(0.01, 3)
        acts.append((rng.uniform(start, start + length), start, start + length, number))
    closing = rng.uniform(4, 12)
    highest: list[Any] | None = None
    winner: list[Any] | None = None
    is_open = True
    for _instant, start, end, number in sorted([*acts, (closing, closing - 1, closing + 1, -1)]):
        if number == -1:
            is_open, winner = False, highest if highest and highest[1] >= 20 else None
            history.append(op("close", "a", winner, start, end))
            continue
        amount = rng.randint(10, 40)
        stands = is_open and (highest is None or amount > highest[1])
        if stands:
            highest = [f"b{number}", amount]
        lost = rng.random() < 0.3
        outcome = "info" if lost else "ok" if stands else "fail"
        history.append(op("bid", "a", [f"b{number}", amount], start, end, outcome))
    history.append(seen(30, "closed", highest, winner))
    result = check_winner(sorted(history, key=lambda one: one.invoke_ns))
    assert result.verdict == "pass", result.reason
