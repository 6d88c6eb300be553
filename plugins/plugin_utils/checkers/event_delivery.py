# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check that events are delivered: to every subscriber, once, in one order that agrees with real time.

Each topic is judged apart. A subscriber's sequence is what its polls were answered, one after the other. An
event is owed to a subscriber when it was asked for after the subscription was answered, and it certainly was
published: it was acknowledged, or somebody got it. What is owed is lost when something that comes after it
was delivered, or when the subscriber read on and on after the end; else it is undecided, never passed. Not so
one that was never acknowledged and comes, for others, after all that the subscriber read.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.anomaly import (
    anomaly,
    ended_at,
    ended_ns,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.linearizable import CheckResult
from ansible_collections.foundation.testbed.plugins.plugin_utils.history import Operation

NAME = "event-delivery"
DRAINED_NS = 10_000_000_000
"""What a last read does not bring so long after its acknowledgement will not come."""
SHOWN = 3
"""Events of one anomaly that are told one by one."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one topic: what kind, which event, a sentence, and the operations that show it."""

    kind: str
    sentence: str
    operations: tuple[Operation, ...]


@dataclass(slots=True)
class Subscriber:
    """What one subscriber asked of one topic and was answered."""

    subscribed_ns: int | None = None
    polls: list[Operation] = field(default_factory=list)

    @property
    def sequence(self) -> list[tuple[Any, Operation]]:
        """Return what was delivered, in order, each event with the poll that brought it."""
        return [(event, poll) for poll in self.polls for event in poll.value["events"]]


@dataclass(slots=True)
class Topic:
    """The history of one topic: publications by what they published, and subscribers by name."""

    publications: dict[Any, Operation] = field(default_factory=dict)
    subscribers: dict[str, Subscriber] = field(default_factory=dict)


def check_event_delivery(operations: Sequence[Operation], clock_error_ns: int = 0) -> CheckResult:
    """Check a history of the workload `events`; pure."""
    began = time.monotonic()
    topics = topics_of(operations)
    faults = {key: list(faults_of(topic, clock_error_ns)) for key, topic in topics.items()}
    anomalies = [
        anomaly(key, _message(key, found), _shown(found), _drawn)
        for key, found in sorted(faults.items())
        if found
    ]
    undecided = {key: undecided_of(topics[key], clock_error_ns) for key, found in faults.items() if not found}
    open_keys = {key: found for key, found in sorted(undecided.items()) if found}
    deliveries = sum(len(one.sequence) for topic in topics.values() for one in topic.subscribers.values())
    detail = {
        "keys": len(topics), "operations": len(operations), "undecided": len(open_keys),
        "events": sum(len(topic.publications) for topic in topics.values()), "deliveries": deliveries,
        "failed_keys": [each["key"] for each in anomalies], "seconds": round(time.monotonic() - began, 3),
    }  # fmt: skip
    if anomalies:
        more = f" (and {len(anomalies) - 1} more of {len(topics)} keys)" if len(anomalies) > 1 else ""
        return CheckResult(NAME, "fail", anomalies, detail, anomalies[0]["message"] + more)
    if open_keys:
        key, reason = next(iter(open_keys.items()))
        return CheckResult(NAME, "unknown", [], detail, f"key {key}: {reason}")
    if not deliveries:
        return CheckResult(NAME, "unknown", [], detail, "nothing was delivered to anybody")
    return CheckResult(NAME, "pass", [], detail)


def topics_of(operations: Sequence[Operation]) -> dict[str, Topic]:
    """Return the history of each topic; raises ValueError for an operation that no topic knows."""
    topics: dict[str, Topic] = {}
    for one in sorted(operations, key=lambda operation: operation.invoke_ns):
        topic = topics.setdefault(one.key, Topic())
        if one.f not in ("publish", "subscribe", "poll"):
            raise ValueError(f"events know publish, subscribe and poll; given {one.f!r}")
        if one.outcome == "drop":
            continue
        if one.f == "publish":
            topic.publications[one.value] = one
            continue
        subscriber = topic.subscribers.setdefault(one.value["subscriber"], Subscriber())
        if one.outcome == "ok" and one.f == "poll":
            subscriber.polls.append(one)
        elif one.outcome == "ok" and subscriber.subscribed_ns is None:
            subscriber.subscribed_ns = one.complete_ns
    return {key: topic for key, topic in topics.items() if topic.publications or topic.subscribers}


def faults_of(topic: Topic, clock_error_ns: int) -> Iterator[Fault]:
    """Yield everything that is wrong with a topic."""
    for name, subscriber in topic.subscribers.items():
        yield from _sent_back(name, subscriber)
        yield from _wrong_deliveries(topic, name, subscriber, clock_error_ns)
        yield from _against_time(topic, name, subscriber, clock_error_ns)
        yield from _lost(topic, name, subscriber, clock_error_ns)
    yield from _two_orders(topic)


def _sent_back(name: str, subscriber: Subscriber) -> Iterator[Fault]:
    """A place never moves back; raises ValueError where polls do not go on from one another."""
    for before, poll in pairwise(subscriber.polls):
        if poll.value["after"] != before.value["revision"]:
            raise ValueError(f"{name} went on from {poll.value['after']}, not {before.value['revision']}")
    for poll in subscriber.polls:
        if poll.value["revision"] < poll.value["after"]:
            sentence = f"{name} was sent back from {poll.value['after']} to {poll.value['revision']}"
            yield Fault("sent back", sentence, (poll,))


def _wrong_deliveries(
    topic: Topic, name: str, subscriber: Subscriber, clock_error_ns: int
) -> Iterator[Fault]:
    """What is delivered was published before, did not certainly fail, and comes once."""
    first: dict[Any, Operation] = {}
    for event, poll in subscriber.sequence:
        published = topic.publications.get(event)
        if published is None:
            yield Fault(
                "never", f"{name} got {event} at {ended_at(poll)}, which nobody published here", (poll,)
            )
            continue
        if published.outcome == "fail":
            sentence = f"{name} got {event} at {ended_at(poll)}, whose publication had failed"
            yield Fault("failed", sentence, (published, poll))
        if ended_ns(poll) + clock_error_ns < published.invoke_ns:
            sentence = f"{name} got {event} at {ended_at(poll)}, before anybody published it"
            yield Fault("early", sentence, (poll, published))
        if event in first:
            sentence = f"{name} got {event} twice, at {ended_at(first[event])} and {ended_at(poll)}"
            yield Fault("twice", sentence, (published, first[event], poll))
        first.setdefault(event, poll)


def _against_time(topic: Topic, name: str, subscriber: Subscriber, clock_error_ns: int) -> Iterator[Fault]:
    """What was acknowledged before another was asked for comes before it."""
    latest: tuple[Operation, Operation] | None = None
    for event, poll in subscriber.sequence:
        published = topic.publications.get(event)
        if published is None:
            continue
        if latest and _acknowledged(published) and ended_ns(published) + clock_error_ns < latest[0].invoke_ns:
            sentence = (
                f"{name} got {event} at {ended_at(poll)} after {latest[0].value}, though {event} was "
                f"acknowledged at {ended_at(published)}, before {latest[0].value} was published"
            )
            yield Fault("time", sentence, (published, latest[0], latest[1], poll))
        if latest is None or published.invoke_ns > latest[0].invoke_ns:
            latest = (published, poll)


def _two_orders(topic: Topic) -> Iterator[Fault]:
    """All subscribers see the same order."""
    places = {
        name: {event: (place, poll) for place, (event, poll) in enumerate(subscriber.sequence)}
        for name, subscriber in topic.subscribers.items()
    }
    names = list(places)
    for number, one in enumerate(names):
        for other in names[number + 1 :]:
            common = [event for event in places[one] if event in places[other]]
            for a, b in pairwise(common):
                if places[other][a][0] > places[other][b][0]:
                    sentence = f"{one} got {a} before {b}, and {other} got {b} before {a}"
                    polls = (places[one][a][1], places[one][b][1], places[other][b][1], places[other][a][1])
                    yield Fault("order", sentence, tuple({id(poll): poll for poll in polls}.values()))


def _owed(topic: Topic, subscriber: Subscriber, clock_error_ns: int) -> dict[Any, Operation]:
    """Return what must come to a subscriber and has not."""
    if subscriber.subscribed_ns is None:
        return {}
    got = {event for event, _poll in subscriber.sequence}
    seen = {event for one in topic.subscribers.values() for event, _poll in one.sequence}
    return {
        event: published
        for event, published in topic.publications.items()
        if event not in got
        and (_acknowledged(published) or (event in seen and published.outcome != "fail"))
        and published.invoke_ns > subscriber.subscribed_ns + clock_error_ns
    }


def _lost(topic: Topic, name: str, subscriber: Subscriber, clock_error_ns: int) -> Iterator[Fault]:
    """What is owed has been passed over, or did not come when everything had to have come."""
    owed = _owed(topic, subscriber, clock_error_ns)
    if not owed:
        return
    sequence = subscriber.sequence
    got = [topic.publications[event] for event, _poll in sequence if event in topic.publications]
    newest = max(got, key=lambda published: published.invoke_ns, default=None)
    behind = _followers(topic, owed, dict(sequence))
    last = next((poll for poll in reversed(subscriber.polls) if poll.phase == "final"), None)
    for event, published in owed.items():
        acknowledged = _acknowledged(published)
        if acknowledged and newest and ended_ns(published) + clock_error_ns < newest.invoke_ns:
            sentence = (
                f"{name} never got {event}, acknowledged at {ended_at(published)}, but {newest.value}, later"
            )
            yield Fault("lost", sentence, (published, newest))
        elif event in behind:
            sentence = f"{name} never got {event}, but {behind[event][0]}, which comes after it for others"
            yield Fault("lost", sentence, (published, behind[event][1]))
        elif acknowledged and last and last.invoke_ns > ended_ns(published) + DRAINED_NS + clock_error_ns:
            sentence = (
                f"{name} had not got {event}, acknowledged at {ended_at(published)}, by {ended_at(last)}"
            )
            yield Fault("lost", sentence, (published, last))


def _followers(
    topic: Topic, owed: Mapping[Any, Operation], got: Mapping[Any, Operation]
) -> dict[Any, tuple[Any, Operation]]:
    """Return, of events that are owed, one that others got after it and that did come, with its poll."""
    found: dict[Any, tuple[Any, Operation]] = {}
    for subscriber in topic.subscribers.values():
        later: tuple[Any, Operation] | None = None
        for event, _poll in reversed(subscriber.sequence):
            if event in owed and later is not None:
                found.setdefault(event, later)
            elif event in got:
                later = (event, got[event])
    return found


def undecided_of(topic: Topic, clock_error_ns: int) -> str:
    """Return why a topic without a fault is undecided; empty when it is not."""
    for name, subscriber in topic.subscribers.items():
        owed = _owed(topic, subscriber, clock_error_ns)
        # Without a fault, what is in doubt comes after all that it got: it read as far as anybody was told.
        missing = [event for event, published in owed.items() if _acknowledged(published)]
        if missing or (owed and not subscriber.sequence):
            event = next(iter(missing or owed))
            return f"whether {event} comes to {name} was not seen, as it did not read to the end"
    return ""


def _acknowledged(published: Operation) -> bool:
    return published.outcome == "ok"


def _message(key: str, faults: Sequence[Fault]) -> str:
    """Return all that is wrong with a topic: the first in words, the others counted."""
    counted = ", ".join(f"{count} {kind}" for kind, count in Counter(one.kind for one in faults).items())
    more = f" (in all {counted})" if len(faults) > 1 else ""
    return f"key {key}: {faults[0].sentence}{more}"


def _shown(faults: Sequence[Fault]) -> Iterable[Operation]:
    """Return the operations of the first faults, each once."""
    return {id(one): one for fault in faults[:SHOWN] for one in fault.operations}.values()


def _drawn(operation: Operation) -> Any:
    """Return the value of an operation as the diagram has room for it."""
    if operation.f != "poll":
        return operation.value
    events = operation.value["events"]
    return f"{len(events)} events, {events[0]} to {events[-1]}" if events else "nothing"
