# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Events: publish, subscribe by a pattern of topics, and read on from a revision on any node.

What is delivered is what the store has, in its order: a subscription is a pattern and the revision that made
it, and a subscriber's place is a revision that the subscriber keeps. Nothing is consumed by reading.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from foundation_service import registry
from foundation_service.ids import Ids
from foundation_service.topics import is_own, matches
from testbed_service.batch import create, get, remove
from testbed_service.events import PREFIX, TELEMETRY, Publisher
from testbed_service.feed import KEPT, Change, Feed, Gone, Held, held_of
from testbed_service.problems import Problem
from testbed_service.store import Store
from testbed_service.web import Answer, Arguments

SUBSCRIPTIONS = "/foundation/subscriptions/"


@lru_cache(maxsize=2 * KEPT)
def said(value: str) -> dict[str, Any]:
    """Return what an event in the store says; shared, so not to be changed."""
    found: dict[str, Any] = json.loads(value)
    return found


def event_of(change: Change) -> dict[str, Any] | None:
    """Return the event that a change of the store is, as the API shows it; None where it is none."""
    if change.key.startswith((PREFIX, TELEMETRY)) and change.now is not None:
        found = said(change.now.value)
        return {
            "topic": found["topic"], "payload": found["payload"], "source": found["source"],
            "published_s": found["published_s"], "revision": change.revision,
        }  # fmt: skip
    if change.key.startswith(registry.PREFIX):
        told = registry.change_record(change)
        payload = {"name": told["name"], "owner": told["owner"]}
        return {
            "topic": f"registry.{told['change']}", "payload": payload, "source": "registry",
            "published_s": None, "revision": change.revision,
        }  # fmt: skip
    return None


def topic_of(change: Change) -> str | None:
    """Return the topic of the event that a change is; None where it is none."""
    if change.key.startswith((PREFIX, TELEMETRY)) and change.now is not None:
        return str(said(change.now.value)["topic"])
    if change.key.startswith(registry.PREFIX):
        return "registry.unregistered" if change.now is None else "registry.registered"
    return None


def subscription(name: str, held: Held) -> dict[str, Any]:
    """Return a subscription as the API shows it."""
    found = json.loads(held.value)
    return {
        "name": name, "subscriber": found["subscriber"], "pattern": found["pattern"],
        "revision": held.revision,
    }  # fmt: skip


def not_found(name: str) -> Problem:
    """Return the problem of a subscription that nobody has."""
    return Problem("not-found", f"there is no subscription {name}")


class Events:
    """The operations of events."""

    def __init__(self, store: Store, feed: Feed, publisher: Publisher, ids: Ids) -> None:
        self._store, self._feed, self._publisher, self._ids = store, feed, publisher, ids

    async def publish(self, arguments: Arguments) -> Answer:
        """Publish an event; one whose id has been published has no second effect."""
        asked = arguments.body
        topic, payload, known = asked["topic"], asked.get("payload", {}), asked.get("id")
        if is_own(topic):
            raise Problem(
                "reserved-topic",
                f"{topic} is the services' own",
                status=403,
                title="Only the services themselves publish under this topic.",
            )
        if known is not None:
            revision, repeated = await self._ids.once(known, self._publisher.event(topic, payload))
            return Answer(200 if repeated else 201, {"topic": topic, "revision": revision})
        step = await self._store.do(self._publisher.publishing(topic, payload))
        return Answer(201, {"topic": topic, "revision": step.revision})

    async def subscribe(self, arguments: Arguments) -> Answer:
        """Make a subscription; the same once more is the same."""
        name, asked = arguments.parameters["name"], arguments.body
        value = {"subscriber": asked["subscriber"], "pattern": asked["pattern"]}
        step = await self._store.do(create(SUBSCRIPTIONS + name, json.dumps(value)))
        if step.succeeded:
            return Answer(201, {"name": name, **value, "revision": step.revision})
        there = subscription(name, held_of(step.found[0]))
        if {key: there[key] for key in value} == value:
            return Answer(200, there)
        raise Problem(
            "already-subscribed",
            f"{name} is a subscription of {there['subscriber']} to {there['pattern']}",
            status=409,
            title="There is another subscription of that name.",
            subscriber=there["subscriber"],
            pattern=there["pattern"],
        )

    async def read(self, arguments: Arguments) -> Answer:
        """Return a subscription."""
        name = arguments.parameters["name"]
        return Answer(200, subscription(name, await self._stored(name)))

    async def unsubscribe(self, arguments: Arguments) -> Answer:
        """End a subscription."""
        name = arguments.parameters["name"]
        step = await self._store.do(remove(SUBSCRIPTIONS + name))
        if not step.succeeded:
            raise not_found(name)
        return Answer(200, subscription(name, held_of(step.found[0])))

    async def events(self, arguments: Arguments) -> Answer:
        """Return the events of a subscription after a revision; wait for one."""
        given = arguments.parameters
        name = given["name"]
        held = self._feed.view.get(SUBSCRIPTIONS + name) or await self._stored(name)
        pattern = json.loads(held.value)["pattern"]
        after = held.revision if given["after"] is None else given["after"]

        def wanted(change: Change) -> bool:
            topic = topic_of(change)
            return topic is not None and matches(pattern, topic)

        try:
            found, reached = await self._feed.after(after, wanted, given["limit"], given["wait_s"])
        except Gone as gone:
            raise Problem("gone", f"events are kept from {gone.oldest} on", oldest=gone.oldest) from None
        return Answer(200, {"events": [event_of(change) for change in found], "revision": reached})

    async def _stored(self, name: str) -> Held:
        """Return what the store holds of a subscription; raises Problem where there is none."""
        step = await self._store.do(get(SUBSCRIPTIONS + name))
        if not step.found:
            raise not_found(name)
        return held_of(step.found[0])
