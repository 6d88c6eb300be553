# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The checker of a registry: answers in the negative say something, and what has no order is found."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.linearizable import (
    check_linearizable,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.models import (
    RegistryModel,
    entries_by_key,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.history import Operation
from ansible_collections.foundation.testbed.plugins.plugin_utils.judge import CHECKERS
from ansible_collections.foundation.testbed.tests.support.register_histories import has_order
from hypothesis import given, settings
from hypothesis import strategies as st

SECOND = 1_000_000_000
ERRORS = {
    "taken": ("fail", "already_registered"),
    "absent": ("fail", "not_found"),
    "info": ("info", "timeout"),
}


def names(*lines: str) -> list[Operation]:
    """Operations from lines such as ``n1 register 5 0-1``, ``n2 register 5 2-3 taken``."""
    return [_operation(number, line.split()) for number, line in enumerate(lines)]


def _operation(number: int, words: list[str]) -> Operation:
    node, f, text, times, *end = words
    start, stop = (int(float(time) * SECOND) for time in times.split("-"))
    outcome, error = ERRORS[end[0]] if end else ("ok", None)
    value = None if text == "-" else int(text)
    return Operation(
        "o-0", number, number, node, f, "r0-1", value, start, stop, start, node, outcome, error, "main"
    )


GOOD = {
    "a name's life": [
        "n1 lookup - 0-1", "n1 register 5 2-3", "n2 lookup 5 4-5", "n2 register 5 6-7 taken",
        "n3 unregister 5 8-9", "n3 unregister - 10-11 absent", "n1 lookup - 12-13", "n1 register 6 14-15",
    ],
    "one of two at once": ["n1 register 5 0-9", "n2 register 5 0-8 taken"],
    "one in doubt took effect": ["n1 register 5 0-1 info", "n2 lookup 5 2-3"],
    "one in doubt never did": ["n1 register 5 0-1 info", "n2 register 6 2-3", "n2 lookup 6 4-5"],
    "an unregistration in doubt takes whoever is there, late": [
        "n1 unregister - 0-1 info", "n1 register 5 2-3", "n2 lookup 5 4-5", "n2 lookup - 6-7",
    ],
}  # fmt: skip
BAD = {
    "forgotten": ["n1 register 5 0-1", "n2 lookup - 2-3"],
    "stale owner": ["n1 register 5 0-1", "n1 unregister 5 2-3", "n2 lookup 5 4-5"],
    "two owners": ["n1 register 5 0-9", "n2 register 6 0-8"],
    "taken by nobody": ["n1 register 6 0-1 taken"],
    "taken although removed": ["n1 register 5 0-1", "n1 unregister 5 2-3", "n2 register 5 4-5 taken"],
    "not found although there": ["n1 register 5 0-1", "n2 unregister - 2-3 absent"],
    "removed twice": ["n1 register 5 0-1", "n1 unregister 5 2-3", "n2 unregister 5 4-5"],
    "removed another's": ["n1 register 5 0-1", "n1 unregister 6 2-3"],
}


@pytest.mark.parametrize("lines", GOOD.values(), ids=GOOD)
def test_passes_what_has_an_order(lines: list[str]) -> None:
    assert CHECKERS["registry"](names(*lines), 0)["verdict"] == "pass"


@pytest.mark.parametrize("lines", BAD.values(), ids=BAD)
def test_fails_what_has_none(lines: list[str]) -> None:
    record = CHECKERS["registry"](names(*lines), 0)
    assert (record["name"], record["verdict"]) == ("linearizable-registry", "fail")
    assert record["anomalies"][0]["key"] == "r0-1" and "r0-1" in record["reason"]


def test_a_stale_owner_is_told_as_such() -> None:
    (anomaly,) = CHECKERS["registry"](names(*BAD["stale owner"]), 0)["anomalies"]
    assert anomaly["message"] == (
        "key r0-1: n2 read 5 at 5.000 s although n1 removed what was there by 3.000 s "
        "and nothing wrote 5 again"
    )


def test_an_unknown_operation_is_no_pass() -> None:
    with pytest.raises(ValueError, match="a registry knows"):
        check_linearizable([replace(names("n1 lookup - 0-1")[0], f="read")], RegistryModel())


def lived(seed: int, clients: int, count: int, doubtful: float) -> list[Operation]:
    """A registry of one name that really serves one at a time, and clients some of whom get no answer."""
    rng, owner, done = random.Random(seed), None, []
    moments = sorted(rng.random() * count for _ in range(count))
    free = [0.0] * clients
    for number, moment in enumerate(moments):
        client = number % clients
        start = max(free[client], moment - rng.random())
        if start > moment:
            continue
        end = free[client] = moment + rng.random()
        f = rng.choice(["lookup", "register", "unregister"])
        before, lost = owner, rng.random() < doubtful
        effective = not lost or rng.random() < 0.5
        if effective:
            owner = (owner or number + 100) if f == "register" else None if f == "unregister" else owner
        done.append(_answered(number, client, f, before, start, end, lost))
    return done


def _answered(
    number: int, client: int, f: str, before: Any, start: float, end: float, lost: bool
) -> Operation:
    value, outcome, error = before, "ok", None
    if f == "register":
        value, outcome, error = (number + 100, "ok", None) if before is None else (before, *ERRORS["taken"])
    elif f == "unregister" and before is None:
        value, outcome, error = (None, *ERRORS["absent"])
    if lost:
        value, outcome, error = (number + 100 if f == "register" else None), *ERRORS["info"]
    times = int(start * SECOND), int(end * SECOND)
    return Operation(
        "o-0",
        number,
        number,
        f"n{client}",
        f,
        "k",
        value,
        *times,
        times[0],
        f"n{client}",
        outcome,
        error,
        "main",
    )


@given(st.integers(0, 10**6), st.integers(1, 5), st.floats(0, 0.3))
def test_what_really_served_one_at_a_time_passes(seed: int, clients: int, doubtful: float) -> None:
    operations = lived(seed, clients, 60, doubtful)
    assert check_linearizable(operations, RegistryModel()).verdict in ("pass", "unknown") or not operations


@settings(max_examples=150)
@given(st.integers(0, 10**6), st.data())
def test_agrees_with_an_oracle_that_tries_every_order(seed: int, data: Any) -> None:
    operations = lived(seed, 3, 9, 0.2)
    if not operations:
        return
    place = data.draw(st.integers(0, len(operations) - 1))
    changed = replace(operations[place], value=data.draw(st.sampled_from([None, *range(100, 109)])))
    operations[place] = changed
    entries = entries_by_key(operations, RegistryModel())["k"]
    expected = "pass" if has_order(entries, None) else "fail"
    if entries:
        assert check_linearizable(operations, RegistryModel()).verdict == expected
