# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The system foundation over HTTP: the operations of a load, and the questions that a node asks itself.

Nothing here retries: one invocation is one request to one node.
"""

from __future__ import annotations

import json
import re
from typing import Any

from ansible_collections.foundation.testbed.roles.service.files.client import (
    Completion,
    Request,
    ServiceClient,
    kind_of,
    name_of,
    no_effect,
    status_of,
    version_of,
)
from ansible_collections.foundation.testbed.roles.service.files.client import (
    event_loop_policy as event_loop_policy,
)

PORT = 4100
READS = frozenset({"lookup", "read", "poll"})
METHODS = {
    "lookup": "GET", "read": "GET", "register": "PUT", "write": "PUT", "unregister": "DELETE",
    "publish": "POST", "subscribe": "PUT", "poll": "GET",
}  # fmt: skip
POLLED = 1000
"""Events that one poll asks for."""


def topic_of(key: str) -> str:
    """Return the topic for a key of the load."""
    return ".".join(re.findall("[A-Za-z0-9_@:-]+", key))


def events_request(f: str, key: str, value: Any) -> Request:
    """Return the request of an operation on events."""
    topic = topic_of(key)
    if f == "publish":
        return Request("POST", "/v1/events", {"topic": topic, "payload": {"value": value}})
    path = f"/v1/events/subscriptions/{topic}:{value['subscriber']}"
    if f == "subscribe":
        return Request("PUT", path, {"subscriber": value["subscriber"], "pattern": f"{topic}.#"})
    return Request("GET", f"{path}/events", query={"after": str(value["after"]), "limit": str(POLLED)})


def told(f: str, value: Any, body: dict[str, Any]) -> Any:
    """Return what a success says: events and a place to go on from, an owner, or what was asked."""
    if f == "poll":
        events = [event["payload"]["value"] for event in body["events"]]
        return {**value, "events": events, "revision": int(body["revision"])}
    if f == "subscribe":
        return {**value, "revision": int(body["revision"])}
    return value if METHODS[f] in ("PUT", "POST") else owner_of(body["owner"])


def owner_of(said: Any) -> Any:
    """Return an owner as the load gave it: a number where it is one."""
    return int(said) if isinstance(said, str) and said.isdigit() else said


def unanswered(f: str, value: Any, error: str, node: str) -> Completion:
    """Return the completion of an operation without an answer; when in doubt, info."""
    return Completion("fail" if no_effect(f in READS, error) else "info", value, error, node)


def answer_of(f: str, value: Any, status: int, text: str, node: str) -> Completion:
    """Return the completion for a response."""
    try:
        body = json.loads(text)
        problem = "" if status < 400 else kind_of(body)
        if not problem:
            return Completion("ok", told(f, value, body), None, node)
        if problem == "not-found" and f != "poll":
            return Completion("ok", None, None, node) if f in READS else _negative("not_found", None, node)
        if problem == "already-registered":
            if f == "write":  # of a probe: what matters is that a majority answered
                return Completion("ok", value, None, node)
            return _negative("already_registered", owner_of(body["owner"]), node)
    except (ValueError, KeyError, TypeError, AttributeError):
        return unanswered(f, value, "bad-answer", node)
    return Completion("fail" if no_effect(f in READS, problem, status) else "info", value, problem, node)


def _negative(error: str, value: Any, node: str) -> Completion:
    return Completion("fail", value, error, node)


class Client(ServiceClient):
    """A client of some nodes.

    `options`: `consistency` (`local`) lets a node answer lookups from what it has itself.
    """

    port = PORT
    negative = frozenset({"already_registered", "not_found"})

    def request(self, f: str, key: str, value: Any) -> Request:
        """Return the request of an operation."""
        if f in ("publish", "subscribe", "poll"):
            return events_request(f, key, value)
        method, path = METHODS[f], f"/v1/registry/names/{name_of(key)}"
        if method == "PUT":
            return Request(method, path, {"owner": str(value)})
        asked = method == "GET" and "consistency" in self.options
        return Request(
            method, path, query={"consistency": str(self.options["consistency"])} if asked else None
        )

    def answered(self, f: str, key: str, value: Any, status: int, text: str, node: str) -> Completion:
        """Return the completion for a response."""
        return answer_of(f, value, status, text, node)

    def unanswered(self, f: str, value: Any, error: str, node: str) -> Completion:
        """Return the completion of an operation without an answer."""
        return unanswered(f, value, error, node)


def status(address: str = "127.0.0.1", timeout_s: float = 1.0) -> dict[str, Any]:
    """Ask a node how it is: healthy when it is in the mode `normal`; no node leads."""
    return status_of(address, PORT, timeout_s)


def version(address: str = "127.0.0.1", timeout_s: float = 1.0) -> str | None:
    """Ask a node for its version; None when it does not say. Planted bugs are part of it."""
    return version_of(address, PORT, timeout_s)
