# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The system mabeam over HTTP: the operations of a load, and the questions that a node asks itself.

What is asked and how answers are kept is in the modules of Coordination and Economics beside this one.
Nothing here retries: one invocation is one request to one node.
"""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.foundation.testbed.roles.mabeam.files import client_coordination as coordination
from ansible_collections.foundation.testbed.roles.mabeam.files import client_economics as economics
from ansible_collections.foundation.testbed.roles.service.files.client import (
    UNTOLD,
    Completion,
    Request,
    ServiceClient,
    ask,
    kind_of,
    no_effect,
    status_of,
    version_of,
    word_of,
)
from ansible_collections.foundation.testbed.roles.service.files.client import (
    event_loop_policy as event_loop_policy,
)

PORT = 4200
READS = coordination.READS | economics.READS


def unanswered(f: str, value: Any, error: str, node: str) -> Completion:
    """Return the completion of an operation without an answer; when in doubt, info."""
    return Completion("fail" if no_effect(f in READS, error) else "info", value, error, node)


def answer_of(f: str, value: Any, status: int, text: str, node: str, key: str = "") -> Completion:
    """Return the completion for a response."""
    try:
        body = json.loads(text)
        if status < 400:
            return Completion("ok", _done_value(f, key, value, body), None, node)
        problem = kind_of(body)
        if f in economics.OPERATIONS and problem in economics.NEGATIVE:
            said = economics.refused_value(f, problem, body)
            negative = None if f in READS else economics.NEGATIVE[problem]
            return Completion("ok" if f in READS else "fail", said, negative, node)
    except (ValueError, KeyError, TypeError, AttributeError):
        return unanswered(f, value, "bad-answer", node)
    if (f in READS and problem == "not-found") or (f == "write" and problem == "already-exists"):
        return Completion("ok", None if f in READS else value, None, node)
    word = coordination.NEGATIVE.get(problem, problem)
    return Completion("fail" if no_effect(f in READS, problem, status) else "info", value, word, node)


def _done_value(f: str, key: str, value: Any, body: Any) -> Any:
    if f in economics.OPERATIONS:
        return economics.done_value(f, key, value, body)
    return coordination.done_value(f, value, body)


class Client(ServiceClient):
    """A client of some nodes: sticks to one, moves on when that one gave no answer."""

    port = PORT
    negative = frozenset({*coordination.NEGATIVE.values(), *economics.NEGATIVE.values()})

    def request(self, f: str, key: str, value: Any) -> Request:
        """Return the request of an operation."""
        part = economics if f in economics.OPERATIONS else coordination
        return part.request_of(f, key, value)

    def answered(self, f: str, key: str, value: Any, status: int, text: str, node: str) -> Completion:
        """Return the completion for a response."""
        return answer_of(f, value, status, text, node, key)

    def unanswered(self, f: str, value: Any, error: str, node: str) -> Completion:
        """Return the completion of an operation without an answer."""
        return unanswered(f, value, error, node)


def status(address: str = "127.0.0.1", timeout_s: float = 0.5) -> dict[str, Any]:
    """Ask a node how it is: healthy when it is in the mode `normal`; the one that coordinates leads.

    `mode` is normal, partition_detected or safe_mode; `revision` is how far its own view has come.
    """
    said = status_of(address, PORT, timeout_s)
    if said["mode"] is None:
        return said
    try:
        said["leader"] = bool(ask(address, PORT, "/v1/coordination/status", timeout_s)["coordinates"])
    except UNTOLD as error:
        said["healthy"], said["error"] = False, word_of(error)
    return said


def version(address: str = "127.0.0.1", timeout_s: float = 1.0) -> str | None:
    """Ask a node for its version; None when it does not say. Planted bugs are part of it."""
    return version_of(address, PORT, timeout_s)
