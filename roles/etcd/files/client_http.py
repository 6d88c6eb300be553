# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""HTTP for the clients of a load: a request goes out once, and its end says whether it can have left.

asyncio's own connections with the parser of python3-httptools, which is imported when a client is made: a
generator takes half the processor time that it takes through aiohttp. HTTP/1.1 without TLS, one request at a
time on a connection, no redirects, no cookies, nothing sent twice. An answer has a length or comes in chunks:
one that ends with its connection counts as lost.
"""

from __future__ import annotations

import asyncio
import functools
import json
import urllib.parse
from collections.abc import Mapping
from typing import Any, NamedTuple, Optional

CONNECT_SHARE = 0.8
"""Share of the time-out in which the connection must stand; after it the request was certainly never sent."""
IDLE_S = 15.0
"""Seconds after which an idle connection is closed: one whose end was lost would take a request with it."""
NEVER_SENT = frozenset({"refused", "unreachable"})
"""Reasons without an answer after which the request has certainly not left."""


def event_loop_policy() -> Any:
    """Return uvloop's, with which an operation costs less; where there is none, asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return asyncio.DefaultEventLoopPolicy()
    return uvloop.EventLoopPolicy()


class Completion(NamedTuple):
    """What became of one operation: `type` is ok, fail (certainly no effect) or info (indeterminate)."""

    type: str
    value: Any
    error: Optional[str]
    node: str


class NoAnswer(Exception):
    """A request that was not answered.

    `word` says why: refused, unreachable (both before it left), timeout, connection-lost, bad-answer.
    """

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


class _Connection(asyncio.Protocol):
    """One connection to a server."""

    def __init__(self, parser_of: Any) -> None:
        self._parser, self._body = parser_of(self), []  # type: Any, list[bytes]
        self._answer: Any = None
        self._transport: Any = None
        self._keeps_alive = True
        self._loop = asyncio.get_running_loop()
        self._used_s, self._ageing = 0.0, None  # type: float, Optional[asyncio.TimerHandle]

    @property
    def usable(self) -> bool:
        """Whether another request can go out on it."""
        return self._keeps_alive and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = transport

    def _age(self) -> None:
        """Close it after `IDLE_S` without a request."""
        left_s = IDLE_S if self._waits() else self._used_s + IDLE_S - self._loop.time()
        if left_s > 0:
            self._ageing = self._loop.call_later(left_s, self._age)
        else:
            self.close()

    async def ask(self, request: bytes, until_s: float) -> tuple[int, bytes]:
        """Send a request; return status and body of its answer, or raise NoAnswer at the loop's `until_s`."""
        self._answer, self._body = self._loop.create_future(), []
        timer = self._loop.call_at(until_s, self._end, "timeout")
        self._transport.write(request)
        try:
            status, body = await self._answer
        except BaseException:  # cancelled as well: an answer may still come, so that it serves nobody else
            self.close()
            raise
        finally:
            timer.cancel()
            self._answer = None
        self._used_s = self._loop.time()
        if self._ageing is None:
            self._age()
        return status, body

    def data_received(self, data: bytes) -> None:
        """Take a part of an answer."""
        try:
            self._parser.feed_data(data)
        except Exception:  # of many classes, most of them the parser's own
            self._end("bad-answer")

    def on_message_begin(self) -> None:
        """Refuse what nobody asked for, lest the next request take it for its answer; told by the parser."""
        if not self._waits():
            raise ValueError("an answer to nothing")

    def on_body(self, part: bytes) -> None:
        """Take a part of a body; told by the parser."""
        self._body.append(part)

    def on_message_complete(self) -> None:
        """Give the answer to who waits for it; told by the parser."""
        status = self._parser.get_status_code()
        if status >= 200 and self._waits():  # below that it only announces one
            self._keeps_alive = self._parser.should_keep_alive()
            self._answer.set_result((status, b"".join(self._body)))

    def _waits(self) -> bool:
        return self._answer is not None and not self._answer.done()

    def connection_lost(self, _error: Optional[Exception]) -> None:
        """End the request that waits."""
        if self._ageing is not None:
            self._ageing.cancel()
        self._end("connection-lost")

    def _end(self, word: str) -> None:
        if self._waits():
            self._answer.set_exception(NoAnswer(word))
        self.close()

    def close(self) -> None:
        """Close it at once."""
        self._transport.abort()


class StickyClient:
    """HTTP to one of some nodes: sticks to one, and moves on when told that it gave no answer."""

    def __init__(self, endpoints: Mapping[str, str], port: int, timeout_s: float) -> None:
        """Make it; `endpoints` are addresses by node, each of which may bring its own port."""
        from httptools import HttpResponseParser  # type: ignore[import-not-found, unused-ignore]

        self._nodes, self._timeout_s = list(endpoints), timeout_s
        self._places = {node: place_of(address, port) for node, address in endpoints.items()}
        self._new_connection = functools.partial(_Connection, HttpResponseParser)
        self._idle: dict[str, list[_Connection]] = {node: [] for node in endpoints}

    @property
    def node(self) -> str:
        """Name the node that will be asked next."""
        return self._nodes[0]

    async def exchange(
        self, node: str, method: str, path: str, body: Any = None, query: Optional[Mapping[str, str]] = None
    ) -> tuple[int, str]:
        """Send one request, `body` as JSON; return status and text of the answer, or raise NoAnswer."""
        until_s = asyncio.get_running_loop().time() + self._timeout_s
        request = request_of("{}:{}".format(*self._places[node]), method, path, body, query)
        idle = self._idle[node]
        while idle and not idle[-1].usable:
            idle.pop()
        connection = idle.pop() if idle else await self._connected(*self._places[node])
        status, said = await connection.ask(request, until_s)
        if connection.usable:
            idle.append(connection)
        else:
            connection.close()
        try:
            return status, said.decode()
        except UnicodeDecodeError:
            raise NoAnswer("bad-answer") from None

    async def _connected(self, host: str, port: int) -> _Connection:
        connecting = asyncio.get_running_loop().create_connection(self._new_connection, host, port)
        try:
            connection = (await asyncio.wait_for(connecting, self._timeout_s * CONNECT_SHARE))[1]
        except ConnectionRefusedError:
            raise NoAnswer("refused") from None
        except (OSError, asyncio.TimeoutError):
            raise NoAnswer("unreachable") from None
        if not connection.usable:  # it ended before anything was sent
            raise NoAnswer("unreachable")
        return connection

    def leave(self, node: str) -> None:
        """Ask another node next, unless that is so already."""
        if node == self._nodes[0]:
            self._nodes.append(self._nodes.pop(0))

    async def close(self) -> None:
        """Close the connections on which nobody waits."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()


def place_of(address: str, port: int) -> tuple[str, int]:
    """Return host and port of an address, which may bring its own port."""
    host, _, own_port = address.partition(":")
    return host, int(own_port or port)


def request_of(
    host: str, method: str, path: str, body: Any = None, query: Optional[Mapping[str, str]] = None
) -> bytes:
    """Return a request as it goes over the wire."""
    target = _quoted(path) if query is None else f"{_quoted(path)}?{urllib.parse.urlencode(query)}"
    head = f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n"
    if body is None:
        return f"{head}\r\n".encode() if method == "GET" else f"{head}Content-Length: 0\r\n\r\n".encode()
    data = json.dumps(body)  # in ASCII: as many bytes as characters
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n{data}".encode()


@functools.lru_cache(maxsize=4096)
def _quoted(path: str) -> str:
    return urllib.parse.quote(path, safe="/:@")
