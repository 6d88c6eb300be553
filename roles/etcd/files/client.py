# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""etcd 3.4 through its JSON gateway: the operations of a load, and the questions a node asks its own member.

Operations need python3-httptools; the questions need the standard library only. Nothing here retries: one
invocation is one request to one member.
"""

from __future__ import annotations

import base64
import http.client
import json
import threading
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible_collections.foundation.testbed.roles.etcd.files.client_errors import CERTAIN, error_of_message
from ansible_collections.foundation.testbed.roles.etcd.files.client_http import (
    Completion,
    NoAnswer,
    StickyClient,
    place_of,
)
from ansible_collections.foundation.testbed.roles.etcd.files.client_http import (
    event_loop_policy as event_loop_policy,
)

CLIENT_PORT = 2379
PEER_TIMEOUT_S = 0.25
"""Seconds that another member is given to tell its revision: a cut one must not hold up the question."""
PEERS_FOR_S = 10.0
"""Seconds for which the addresses of the other members are taken as known."""


def classify(f: str, error: str) -> str:
    """Return fail or info for an operation that got `error` instead of an answer; when in doubt, info."""
    return "fail" if f == "read" or error in CERTAIN else "info"


def encode(value: Any) -> str:
    """Return what the gateway wants for a key or value."""
    return base64.b64encode(str(value).encode()).decode()


def request_of(f: str, key: str, value: Any, serializable: bool) -> tuple[str, dict[str, Any]]:
    """Return the path and body of an operation. An expected value of None means: the key is absent."""
    if f == "read":
        body: dict[str, Any] = {"key": encode(key)}
        return "/v3/kv/range", {**body, "serializable": True} if serializable else body
    if f == "write":
        return "/v3/kv/put", {"key": encode(key), "value": encode(value)}
    if f != "cas":
        raise ValueError(f"etcd: no operation {f!r}; there are read, write and cas")
    expected, new = value
    compare = {"key": encode(key), "result": "EQUAL", "target": "VALUE", "value": encode(expected)}
    if expected is None:
        compare = {"key": encode(key), "result": "EQUAL", "target": "VERSION", "version": "0"}
    put = {"requestPut": {"key": encode(key), "value": encode(new)}}
    return "/v3/kv/txn", {"compare": [compare], "success": [put]}


def answer_of(f: str, value: Any, status: int, text: str, node: str) -> Completion:
    """Return the completion for a response of the gateway."""
    try:
        body = json.loads(text)
        if status != 200 or "header" not in body:
            error = error_of_message(str(body.get("message") or body.get("error")))
            return Completion(classify(f, error), value, error, node)
        if f == "read":
            held = body.get("kvs")
            return Completion("ok", int(base64.b64decode(held[0]["value"])) if held else None, None, node)
    except (ValueError, KeyError, AttributeError, TypeError):
        return Completion(classify(f, "bad-answer"), value, "bad-answer", node)
    if f == "cas" and not body.get("succeeded", False):
        return Completion("fail", value, "mismatch", node)
    return Completion("ok", value, None, node)


class Client(StickyClient):
    """A client of some members.

    `options`: `serializable_reads` (bool) lets a member answer reads from what it holds itself.
    """

    def __init__(self, endpoints: dict[str, str], timeout_s: float, options: dict[str, Any]) -> None:
        super().__init__(endpoints, CLIENT_PORT, timeout_s)
        self._serializable = bool(options.get("serializable_reads", False))

    async def invoke(self, f: str, key: str, value: Any) -> Completion:
        """Send one operation to one member, once."""
        node = self.node
        path, body = request_of(f, key, value, self._serializable)
        try:
            status, text = await self.exchange(node, "POST", path, body)
            done = answer_of(f, value, status, text, node)
        except NoAnswer as error:
            done = Completion(classify(f, error.word), value, error.word, node)
        if done.error not in (None, "mismatch"):
            self.leave(node)
        return done


ERRORS = (OSError, ValueError, KeyError, TypeError, AttributeError, http.client.HTTPException)
"""What a question ends with when the member does not answer, or not as etcd does."""


def _ask(address: str, timeout_s: float, path: str, body: str | None = None) -> dict[str, Any]:
    connection = http.client.HTTPConnection(*place_of(address, CLIENT_PORT), timeout=max(timeout_s, 0.05))
    try:
        connection.request("GET" if body is None else "POST", path, body)
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
        return answer
    finally:
        connection.close()


def status(address: str = "127.0.0.1", timeout_s: float = 1.0) -> dict[str, Any]:
    """Ask a member how it is.

    `healthy` (it reaches a quorum), `leader` (it leads), `revision`, `term`, `lag` (revisions behind the
    highest that any other member tells; None when none tells), `error`. The others are asked before the
    member itself, so that what is written meanwhile does not look like a lag.
    """
    said: dict[str, Any] = {
        "healthy": False,
        "leader": False,
        "revision": None,
        "term": None,
        "lag": None,
        "error": None,
    }
    end = time.monotonic() + timeout_s
    with ThreadPoolExecutor(1) as pool:
        health = pool.submit(_health_problem, address, timeout_s)
        try:
            others = _revisions(_PEERS.of(address, timeout_s), min(PEER_TIMEOUT_S, timeout_s))
            state = _ask(address, end - time.monotonic(), "/v3/maintenance/status", "{}")
            header = state["header"]
            said["revision"] = int(header.get("revision", 0))
            said["leader"] = state.get("leader") == header["member_id"]
            said["term"] = int(header.get("raft_term", 0))
            said["lag"] = max(0, max(others) - said["revision"]) if others else None
            said["error"] = health.result()
            said["healthy"] = said["error"] is None
        except ERRORS as error:
            said["error"] = _word(error)
    return said


def _health_problem(address: str, timeout_s: float) -> str | None:
    try:
        health = _ask(address, timeout_s, "/health")
        return None if health.get("health") in ("true", True) else str(health.get("reason") or "unhealthy")
    except ERRORS as error:
        return _word(error)


class _Peers:
    """Addresses of the other members, as a member tells them; kept a while, also when it does not answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, list[str]]] = {}

    def of(self, address: str, timeout_s: float) -> list[str]:
        """Return the others' addresses; raises when the member refuses the connection and is not known."""
        with self._lock:
            until, peers = self._known.get(address, (0.0, []))
        if time.monotonic() < until:
            return peers
        try:
            answer = _ask(address, min(PEER_TIMEOUT_S, timeout_s), "/v3/cluster/member/list", "{}")
            peers = peers_of(answer)
        except ConnectionRefusedError:
            raise
        except ERRORS:
            return peers
        with self._lock:
            self._known[address] = (time.monotonic() + PEERS_FOR_S, peers)
        return peers


_PEERS = _Peers()


def peers_of(answer: dict[str, Any]) -> list[str]:
    """Return the client address of every member but the one that answered."""
    own = answer["header"]["member_id"]
    urls = [
        member["clientURLs"][0]
        for member in answer["members"]
        if member["ID"] != own and member.get("clientURLs")
    ]
    return [urllib.parse.urlsplit(url).netloc for url in urls]


def _revisions(addresses: list[str], timeout_s: float) -> list[int]:
    """Ask members at once for their revisions; those that do not answer in time are left out."""
    if not addresses:
        return []
    with ThreadPoolExecutor(len(addresses)) as pool:
        answers = list(pool.map(lambda address: _revision(address, timeout_s), addresses))
    return [revision for revision in answers if revision is not None]


def _revision(address: str, timeout_s: float) -> int | None:
    try:
        return int(_ask(address, timeout_s, "/v3/maintenance/status", "{}")["header"].get("revision", 0))
    except ERRORS:
        return None


def _word(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    return "timeout" if isinstance(error, TimeoutError) else type(error).__name__


def version(address: str = "127.0.0.1", timeout_s: float = 1.0) -> str | None:
    """Ask a member for its version; None when it does not say."""
    try:
        answer = _ask(address, timeout_s, "/version").get("etcdserver")
    except (OSError, ValueError, AttributeError, http.client.HTTPException):
        return None
    return None if answer is None else str(answer)
