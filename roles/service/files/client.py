# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the clients of the testbed's own services share: one invocation is one request to one node, once.

Operations need python3-httptools; the questions that a node asks itself need the standard library only.
"""

from __future__ import annotations

import http.client
import json
from typing import Any, NamedTuple

from ansible_collections.foundation.testbed.roles.etcd.files.client_http import (
    NEVER_SENT,
    NoAnswer,
    StickyClient,
    place_of,
)
from ansible_collections.foundation.testbed.roles.etcd.files.client_http import (
    Completion as Completion,
)
from ansible_collections.foundation.testbed.roles.etcd.files.client_http import (
    event_loop_policy as event_loop_policy,
)

PROBLEM = "urn:foundation:problem:"
UNTOLD = (OSError, ValueError, KeyError, TypeError, AttributeError, http.client.HTTPException)
"""What is raised where a node gives no answer, or another than was expected."""


class Request(NamedTuple):
    """One request of HTTP."""

    method: str
    path: str
    body: Any = None
    query: dict[str, str] | None = None


def name_of(key: str) -> str:
    """Return the name in a service for a key of the load."""
    return key.replace("/", ":")


def kind_of(body: Any) -> str:
    """Return the type of a problem document."""
    return str(body["type"]).removeprefix(PROBLEM)


def no_effect(reads: bool, error: str, status: int = 0) -> bool:
    """Whether an operation that got this instead of a success has certainly changed nothing."""
    return reads or error in NEVER_SENT or status == 503 or 400 <= status < 500


class ServiceClient(StickyClient):
    """A client of some nodes of a service."""

    port: int
    negative: frozenset[str]
    """Errors that answer the question: no reason to move on."""

    def __init__(self, endpoints: dict[str, str], timeout_s: float, options: dict[str, Any]) -> None:
        super().__init__(endpoints, self.port, timeout_s)
        self.options = options

    def request(self, f: str, key: str, value: Any) -> Request:
        """Return the request of an operation."""
        raise NotImplementedError

    def answered(self, f: str, key: str, value: Any, status: int, text: str, node: str) -> Completion:
        """Return the completion for a response."""
        raise NotImplementedError

    def unanswered(self, f: str, value: Any, error: str, node: str) -> Completion:
        """Return the completion of an operation without an answer; when in doubt, info."""
        raise NotImplementedError

    async def invoke(self, f: str, key: str, value: Any) -> Completion:
        """Send one operation to one node, once."""
        node, asked = self.node, self.request(f, key, value)
        try:
            status, text = await self.exchange(node, *asked)
            done = self.answered(f, key, value, status, text, node)
        except NoAnswer as error:
            done = self.unanswered(f, value, error.word, node)
        if done.error is not None and done.error not in self.negative:
            self.leave(node)
        return done


def ask(address: str, port: int, path: str, timeout_s: float) -> dict[str, Any]:
    """Ask a node something; raises one of UNTOLD."""
    connection = http.client.HTTPConnection(*place_of(address, port), timeout=timeout_s)
    try:
        connection.request("GET", path)
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
        return answer
    finally:
        connection.close()


def status_of(address: str, port: int, timeout_s: float) -> dict[str, Any]:
    """Ask a node how it is: healthy when `mode` is `normal`; `revision` is how far its own view has come."""
    said: dict[str, Any] = {"healthy": False, "leader": False, "revision": None, "mode": None, "error": None}
    try:
        answer = ask(address, port, "/v1/status", timeout_s)
        said["mode"], said["revision"] = str(answer["mode"]), int(answer["revision"])
        said["healthy"] = said["mode"] == "normal"
        said["error"] = None if said["healthy"] else said["mode"]
    except UNTOLD as error:
        said["error"] = word_of(error)
    return said


def word_of(error: BaseException) -> str:
    """Return a short word for an error of `ask`."""
    return "refused" if isinstance(error, ConnectionRefusedError) else type(error).__name__


def version_of(address: str, port: int, timeout_s: float) -> str | None:
    """Ask a node for its version; None when it does not say. Planted bugs are part of it."""
    try:
        answer = ask(address, port, "/v1/status", timeout_s)
        return " ".join([str(answer["version"]), *(f"with {bug}" for bug in answer["faulty"])])
    except UNTOLD:
        return None
