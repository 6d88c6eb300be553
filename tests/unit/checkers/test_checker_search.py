# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The search for an order, against tables and against an oracle that tries every order."""

from __future__ import annotations

import random
from typing import Any

import pytest
from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.linearizable import (
    check_linearizable,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.models import (
    APPEND,
    CAS,
    DIFFERS,
    READ,
    WRITE,
    Entry,
    RegisterModel,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.shrink import shrink, without
from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.wgl import Search
from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.witness import prove
from ansible_collections.foundation.testbed.tests.support.register_histories import entry, has_order, history
from ansible_collections.foundation.testbed.tests.support.synthetic_histories import (
    Shape,
    make_stale,
    synthetic_history,
)
from hypothesis import given, settings
from hypothesis import strategies as st

GOOD = {
    "nothing written reads as absent": ["n1 read - 0-1"],
    "write, then read": ["n1 write 5 0-1", "n2 read 5 2-3"],
    "a read during a write may see either": ["n1 write 5 0-9", "n2 read - 1-2", "n3 read 5 3-4"],
    "touching intervals are concurrent": ["n1 write 5 0-1", "n2 write 6 1-2", "n3 read 5 3-4"],
    "cas takes the value": ["n1 write 5 0-1", "n2 cas 5:6 2-3", "n3 read 6 4-5"],
    "a mismatch is right": ["n1 write 5 0-1", "n2 cas 4:6 2-3 mismatch", "n3 read 5 4-5"],
    "an open write took effect": ["n1 write 5 0-1 info", "n2 read 5 2-3"],
    "an open write never took effect": ["n1 write 5 0-1 info", "n2 read - 2-3"],
    "an open write took effect late": ["n1 write 5 0-1 info", "n2 read - 2-3", "n2 read 5 4-5"],
    "an open cas did nothing": ["n1 write 5 0-1", "n2 cas 4:6 2-3 info", "n3 read 5 4-5"],
    "a chain of open operations": ["n1 write 5 0-1 info", "n2 cas 5:6 0-1 info", "n3 read 6 2-3"],
    "an unseen open write explains a mismatch": [
        "n1 write 5 0-1", "n2 write 9 2-3 info", "n3 cas 5:6 4-5 mismatch", "n1 write 7 6-7", "n1 read 7 8-9",
    ],
    "a failed write did nothing": ["n1 write 5 0-1 fail", "n2 read - 2-3"],
    "an open read says nothing": ["n1 read 5 0-1 info", "n2 read - 2-3"],
    "another failed cas says nothing": ["n1 write 5 0-1", "n2 cas 5:6 2-3 fail", "n2 read 5 4-5"],
    "the same value twice": ["n1 write 5 0-1", "n1 write 6 2-3", "n1 write 5 4-5", "n2 read 5 6-7"],
}  # fmt: skip

BAD = {
    "lost write": ["n1 write 5 0-1", "n2 read - 2-3"],
    "stale read": ["n1 write 5 0-1", "n1 write 6 2-3", "n2 read 5 4-5"],
    "read of a failed write": ["n1 write 5 0-1 fail", "n2 read 5 2-3"],
    "read from the future": ["n2 read 5 0-1", "n1 write 5 2-3"],
    "cas on an old value": ["n1 write 5 0-1", "n1 write 6 2-3", "n2 cas 5:7 4-5"],
    "cas twice on one value": ["n1 write 5 0-1", "n2 cas 5:6 2-9", "n3 cas 5:7 2-9"],
    "wrong mismatch": ["n1 write 5 0-1", "n2 cas 5:6 2-3 mismatch", "n3 read 5 4-5"],
    "reads turn back": ["n1 write 5 0-9", "n2 read 5 1-2", "n3 read - 3-4"],
    "an open write takes effect once": [
        "n1 write 5 0-1 info", "n2 write 6 2-3", "n3 read 5 4-5", "n2 write 7 6-7", "n3 read 5 8-9",
    ],
    "an open write not yet invoked": ["n2 read 5 0-1", "n1 write 5 2-3 info"],
}  # fmt: skip


@pytest.mark.parametrize("lines", GOOD.values(), ids=GOOD)
def test_passes_what_has_an_order(lines: list[str]) -> None:
    assert check_linearizable(history(*lines)).verdict == "pass"


@pytest.mark.parametrize("lines", BAD.values(), ids=BAD)
def test_fails_what_has_none(lines: list[str]) -> None:
    result = check_linearizable(history(*lines))
    assert result.verdict == "fail"
    assert result.detail["failed_keys"] == ["r0-4"]


def test_the_initial_value_is_a_parameter() -> None:
    assert check_linearizable(history("n1 read 0 0-1"), RegisterModel(initial=0)).verdict == "pass"
    assert check_linearizable(history("n1 read 0 0-1")).verdict == "fail"


def test_keys_are_apart() -> None:
    operations = history("n1 write 5 0-1", key="a") + history("n1 read - 2-3", key="b")
    assert check_linearizable(operations).verdict == "pass"


def test_a_clock_error_forgets_order() -> None:
    operations = history("n1 write 5 0-1", "n2 read - 1.5-2")
    assert check_linearizable(operations).verdict == "fail"
    assert check_linearizable(operations, clock_error_ns=300_000_000).verdict == "pass"


def test_nothing_to_check_is_no_pass() -> None:
    result = check_linearizable([])
    assert (result.verdict, result.reason) == ("unknown", "there was no operation to check")


@st.composite
def small_histories(draw: st.DrawFn, appends: bool = False) -> tuple[list[Entry], Any]:
    """At most seven operations with open ones, mismatches, and values that are unique or not."""
    unique = draw(st.booleans())
    entries = []
    for number in range(draw(st.integers(1, 7))):
        kind = draw(st.sampled_from([READ, APPEND, WRITE] if appends else [READ, READ, DIFFERS, WRITE, CAS]))
        start = draw(st.integers(0, 12))
        end = start + draw(st.integers(1, 5))
        if appends:
            expect: Any = draw(st.text("ab", max_size=3))
            new: Any = draw(st.sampled_from("ab"))
        else:
            expect = draw(st.sampled_from([None, 0, 1, 2, 3]))
            new = number if unique else draw(st.integers(0, 2))
        open_ = kind >= WRITE and draw(st.booleans()) and draw(st.booleans())
        entries.append(entry(kind, expect, new if kind >= WRITE else None, start, end, open_))
    return entries, "" if appends else None


@settings(max_examples=600, deadline=None)
@given(small_histories(), st.integers(1, 5))
def test_agrees_with_the_oracle(case: tuple[list[Entry], Any], step: int) -> None:
    _agree(*case, step)


@settings(max_examples=300, deadline=None)
@given(small_histories(appends=True), st.integers(1, 5))
def test_agrees_with_the_oracle_on_strings(case: tuple[list[Entry], Any], step: int) -> None:
    _agree(*case, step)


def _agree(entries: list[Entry], initial: Any, step: int) -> None:
    search = Search(entries, initial)
    found = None
    while found is None:
        found = search.run(step)
    assert found == has_order(entries, initial)


@settings(max_examples=400, deadline=None)
@given(small_histories())
def test_a_pattern_is_a_proof(case: tuple[list[Entry], Any]) -> None:
    proof = prove(*case)
    if proof is not None:
        assert not has_order(*case), proof.sentence
        assert not has_order(proof.entries, case[1]) or any(one.kind == DIFFERS for one in proof.entries)


@settings(max_examples=400, deadline=None)
@given(small_histories(), st.randoms(use_true_random=False))
def test_removing_makes_no_violation_up(case: tuple[list[Entry], Any], rng: random.Random) -> None:
    entries, initial = case
    rest = without(entries, [one for one in entries if rng.random() < 0.4])
    if has_order(entries, initial):
        assert has_order(rest, initial)


@settings(max_examples=100, deadline=None)
@given(small_histories())
def test_the_shrunk_set_has_no_order_and_nothing_to_spare(case: tuple[list[Entry], Any]) -> None:
    entries, initial = case
    if has_order(entries, initial):
        return
    kept, smallest = shrink(entries, initial, 5.0)
    assert smallest
    assert not has_order(kept, initial)
    for one in kept:
        rest = without(kept, [one])
        assert len(rest) == len(kept) or has_order(rest, initial)


@pytest.mark.parametrize("clients", [5, 10, 20])
def test_a_long_right_history_passes(clients: int) -> None:
    operations = synthetic_history(5, Shape(clients=clients, indeterminate=0.2), seed=clients)
    assert check_linearizable(operations).verdict == "pass"


def test_one_stale_read_in_a_long_history_is_found() -> None:
    operations = make_stale(synthetic_history(1, Shape(clients=10)), random.Random(2))
    result = check_linearizable(operations)
    assert result.verdict == "fail"
    assert len(result.anomalies[0]["operations"]) <= 4
