# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Delivery of events from histories: what a system that works leaves passes, every mistake in it is found."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.foundation.testbed.plugins.plugin_utils.history import Operation
from ansible_collections.foundation.testbed.plugins.plugin_utils.judge import CHECKERS
from hypothesis import given
from hypothesis import strategies as st

S = 1_000_000_000
check = CHECKERS["events"]


def operation(number: int, f: str, value: Any, start: float, end: float, outcome: str = "ok", **more: Any):
    told = {"key": "r0-1", "phase": "main", "client": "n1", "node": "n1", **more}
    return Operation(
        generator="o", op=number, process=0, f=f, value=value, invoke_ns=int(start * S),
        complete_ns=int(end * S), intended_ns=int(start * S), outcome=outcome, error=None, **told,
    )  # fmt: skip


def history(*told: tuple[Any, ...]) -> list[Operation]:
    """From (event, outcome, begin, end), (subscriber, begin), (subscriber, [events], begin[, phase])."""
    done, place = [], {}
    for number, one in enumerate(told):
        if isinstance(one[0], int):
            event, outcome, start, end = one
            done.append(operation(number, "publish", event, start, end, outcome))
        elif isinstance(one[1], list):
            name, events, start, *phase = one
            after = place.get(name, 0)
            place[name] = after + len(events)
            value = {"subscriber": name, "after": after, "events": events, "revision": place[name]}
            done.append(
                operation(number, "poll", value, start, start + 0.5, phase=phase[0] if phase else "main")
            )
        else:
            value = {"subscriber": one[0], "revision": 0}
            done.append(operation(number, "subscribe", value, one[1], one[1] + 0.5))
    return done


BASE = [("a", 0), ("b", 0), (1, "ok", 1, 2), (2, "ok", 3, 4), (3, "info", 3, 5), (4, "ok", 6, 7)]
GOOD = {
    "everything": [*BASE, ("a", [1, 2, 3], 8), ("a", [4], 9), ("b", [1], 3), ("b", [2, 3, 4], 9)],
    "indeterminate, nowhere": [*BASE, ("a", [1, 2, 4], 8), ("b", [1, 2, 4], 9)],
    "at once, in any order": [*BASE, ("a", [1, 3, 2, 4], 8), ("b", [1, 3, 2, 4], 9)],
    "failed, nowhere": [*BASE, (5, "fail", 3, 4), ("a", [1, 2, 4], 8), ("b", [1, 2, 4], 9)],
    "before the subscription": [*BASE, ("a", [1, 2, 4], 8), ("b", [1, 2, 4], 8), ("c", 5), ("c", [4], 8)],
    "during the subscription": [
        *BASE, ("a", [1, 2, 4], 8), ("b", [1, 2, 4], 8), ("c", 2.9), ("c", [2, 4], 8),
    ],
    "delivered before it was answered": [*BASE, ("a", [1], 1.2), ("a", [2, 4], 8), ("b", [1, 2, 4], 8)],
    "indeterminate, after all that a read": [*BASE, ("a", [1, 2, 4], 8), ("b", [1, 2, 4, 3], 9)],
}  # fmt: skip
BAD = {
    "lost, acknowledged": ([*BASE, ("a", [1, 4], 8), ("b", [1, 2, 4], 8)], "a never got 2"),
    "lost to both": ([*BASE, ("a", [1, 4], 8), ("b", [1, 4], 8)], "a never got 2"),
    "lost, indeterminate": ([*BASE, ("a", [1, 2, 4], 8), ("b", [1, 3, 2, 4], 8)], "a never got 3, but 2"),
    "lost at the end": (
        [*BASE, ("a", [1, 2], 8), ("a", [], 20, "final"), ("b", [1, 2, 4], 8)], "had not got 4",
    ),
    "twice in one answer": ([*BASE, ("a", [1, 2, 2, 4], 8), ("b", [1, 2, 4], 8)], "got 2 twice"),
    "twice, after a cut": ([*BASE, ("a", [1, 2], 5), ("a", [2, 4], 8), ("b", [1, 2, 4], 8)], "got 2 twice"),
    "indeterminate, twice": ([*BASE, ("a", [1, 3, 2, 3, 4], 8), ("b", [1, 3, 2, 4], 8)], "got 3 twice"),
    "never published": ([*BASE, ("a", [1, 2, 9, 4], 8), ("b", [1, 2, 4], 8)], "9 at 8.500 s, which nobody"),
    "failed": (
        [*BASE, (5, "fail", 3, 4), ("a", [1, 2, 5, 4], 8), ("b", [1, 2, 4], 8)], "whose publication had",
    ),
    "before it was published": ([*BASE, ("a", [1], 0.2), ("a", [2, 4], 8), ("b", [1, 2, 4], 8)], "before"),
    "another order": ([*BASE, ("a", [1, 2, 3, 4], 8), ("b", [1, 3, 2, 4], 8)], "a got 2 before 3, and b got"),
    "against real time": ([*BASE, ("a", [2, 1, 4], 8), ("b", [2, 1, 4], 8)], "though 1 was acknowledged"),
}  # fmt: skip


@pytest.mark.parametrize("told", GOOD.values(), ids=GOOD)
def test_accepts(told):
    record = check(history(*told), 0)
    assert (record["name"], record["verdict"], record["reason"]) == ("event-delivery", "pass", "")


@pytest.mark.parametrize(("told", "sentence"), BAD.values(), ids=BAD)
def test_refuses_and_names_the_event(told, sentence):
    record = check(history(*told), 0)
    assert record["verdict"] == "fail" and record["detail"]["failed_keys"] == ["r0-1"]
    (anomaly,) = record["anomalies"]
    assert sentence in anomaly["message"] and anomaly["operations"]


@pytest.mark.parametrize(
    "told",
    [
        [],
        [("a", 0), (1, "ok", 1, 2)],
        [("a", 0), (1, "ok", 1, 2), ("a", [], 4)],
        [("a", 0), (1, "ok", 1, 2), ("a", [], 4, "final")],
        [("a", 0), ("b", 0), (1, "ok", 1, 2), ("a", [1], 4)],
        [(1, "ok", 1, 2)],
        [("a", 0), ("b", 0), (3, "info", 1, 2), ("b", [3], 4), ("a", [], 5)],
    ],
)
def test_what_was_not_read_to_the_end_is_undecided(told):
    assert check(history(*told), 0)["verdict"] == "unknown"


def test_clocks_that_differ_are_given_the_benefit_of_the_doubt():
    late = history(*BASE, ("a", [2, 1, 4], 8), ("b", [2, 1, 4], 8))
    assert check(late, 2 * S)["verdict"] == "pass"


def test_a_subscriber_that_is_sent_back_and_polls_that_do_not_follow_on_each_other():
    done = history(*GOOD["everything"])
    back = [
        replace(one, value={**one.value, "after": 9, "revision": 8}) if one.f == "poll" else one
        for one in done
    ][:7]
    assert "sent back" in check(back, 0)["reason"]
    with pytest.raises(ValueError, match="went on from"):
        check([replace(one, value={**one.value, "after": 7}) if one.f == "poll" else one for one in done], 0)
    with pytest.raises(ValueError, match="events know"):
        check([replace(done[0], f="read")], 0)


def lived(seed: int, events: int, doubtful: float) -> tuple[list[Operation], list[int]]:
    """A log that really delivers, to three subscribers that read at odd times, and its order."""
    rng = random.Random(seed)
    done, log = [], []
    for event in range(events):
        moment = event + rng.random()
        lost = rng.random() < doubtful
        if not lost or rng.random() < 0.5:
            log.append((moment, event))
        start, end = moment - 2 * rng.random(), moment + 2 * rng.random()
        done.append(operation(event, "publish", event, start + 10, end + 10, "info" if lost else "ok"))
    log.sort()
    number = events
    for name in ("n1", "n2", "failover"):
        from_s = rng.random() * events / 2
        there = sum(moment <= from_s for moment, _ in log)
        value = {"subscriber": name, "revision": there}
        done.append(operation(number, "subscribe", value, from_s + 10, from_s + 10, client=name))
        now = from_s
        while now < events + 3:
            number, now = number + 1, now + 0.1 + 3 * rng.random()
            found = [event for moment, event in log if moment <= now][there:]
            value = {"subscriber": name, "after": there, "events": found, "revision": there + len(found)}
            answered = rng.random() < 0.8 or now >= events + 3
            outcome = "ok" if answered else "fail"
            phase = "final" if now > events else "main"
            done.append(
                operation(number, "poll", value, now + 10, now + 10, outcome, client=name, phase=phase)
            )
            there = there + len(found) if answered else there
        number += 1
    return done, [event for _, event in log]


SEEDS = st.integers(0, 10**6)


@given(SEEDS, st.integers(3, 25), st.sampled_from([0.0, 0.3]))
def test_whatever_a_log_that_delivers_leaves_passes(seed, events, doubtful):
    done, _ = lived(seed, events, doubtful)
    record = check(done, 0)
    assert record["verdict"] == "pass" or record["reason"] == "nothing was delivered to anybody"


@given(SEEDS, st.integers(4, 25), st.integers(0, 100), st.sampled_from(["twice", "never", "lost", "swapped"]))
def test_one_wrong_answer_never_passes(seed, events, place, mistake):
    changes = {
        "twice": lambda found: [*found, found[0]],
        "never": lambda found: [*found, 10**6],
        "lost": lambda found: found[1:],
        "swapped": lambda found: found[::-1],
    }
    done, _log = lived(seed, events, 0.0)
    polls = [one for one in done if one.f == "poll" and one.outcome == "ok" and one.value["events"]]
    if not polls:
        return
    spoilt = polls[place % len(polls)]
    there = spoilt.value["events"]
    wrong = replace(spoilt, value={**spoilt.value, "events": changes[mistake](list(there))})
    verdict = check([wrong if one is spoilt else one for one in done], 0)["verdict"]
    if mistake in ("twice", "never"):
        assert verdict == "fail"
    elif mistake == "lost":
        assert (verdict != "pass") == (owed(done, there[0], wrong.value["subscriber"]) or len(polls) == 1)
    elif any(len(common(other, there)) > 1 for other in sequences(polls, spoilt.value["subscriber"])):
        assert verdict == "fail"


def owed(done: list[Operation], event: int, subscriber: str) -> bool:
    """Whether an event was asked for after a subscription was answered."""
    (asked,) = [one for one in done if one.f == "subscribe" and one.value["subscriber"] == subscriber]
    return (
        next(one for one in done if one.f == "publish" and one.value == event).invoke_ns > asked.complete_ns
    )


def sequences(polls: list[Operation], but: str) -> list[list[int]]:
    """What each subscriber but one got."""
    names = {one.value["subscriber"] for one in polls} - {but}
    return [
        [event for one in polls if one.value["subscriber"] == name for event in one.value["events"]]
        for name in names
    ]


def common(some: list[int], others: list[int]) -> set[int]:
    return set(some) & set(others)
