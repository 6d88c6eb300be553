# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The node's own etcd member through its JSON gateway. One call is one request, once: nothing is retried."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from etcd_errors import CERTAIN, error_of_message

LEASE_NOT_FOUND = "etcdserver: requested lease not found"
COMPACTED = "etcdserver: mvcc: required revision has been compacted"


class StoreError(Exception):
    """The store gave no answer; the text is a short word for why."""


class Refused(StoreError):
    """It was certainly not done."""


class LeaseNotFound(Refused):
    """It was certainly not done, as there is no such lease."""


class Indeterminate(StoreError):
    """It may have been done, or may yet be."""


def encoded(key: str) -> str:
    """Return a key or value as the gateway wants it."""
    return base64.b64encode(key.encode()).decode()


def decoded(text: str) -> str:
    """Return a key or value that the gateway gave."""
    return base64.b64decode(text).decode()


def after_prefix(prefix: str) -> str:
    """Return the end of the range of all keys that begin with a prefix."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def failure(word: str, writes: bool) -> StoreError:
    """Return the error for a request that ended with `word`: reads have certainly changed nothing."""
    return Refused(word) if not writes or word in CERTAIN else Indeterminate(word)


def word_of(error: BaseException) -> str:
    """Return a short word for an exception of aiohttp, told apart by whether the request can have left."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return "refused" if isinstance(error.os_error, ConnectionRefusedError) else "unreachable"
    return "timeout" if isinstance(error, TimeoutError) else "connection-lost"


def failure_of(message: str, writes: bool) -> StoreError:
    """Return the error for a message of etcd."""
    if message == LEASE_NOT_FOUND:
        return LeaseNotFound("lease-not-found")
    return failure(error_of_message(message), writes)


class Gateway:
    """Requests to one member."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Gateway:
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        """The open session."""
        if self._session is None:
            raise RuntimeError("the gateway is not open")
        return self._session

    async def ask(self, path: str, body: dict[str, Any], timeout_s: float, writes: bool) -> dict[str, Any]:
        """Send one request; return the answer, or raise Refused or Indeterminate."""
        timeout, url = aiohttp.ClientTimeout(total=timeout_s), self._url + path
        try:
            async with self.session.post(url, data=json.dumps(body), timeout=timeout) as response:
                status, text = response.status, await response.text()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise failure(word_of(error), writes) from error
        try:
            answer: dict[str, Any] = json.loads(text)
            if status == 200 and "error" not in answer:
                return answer
            message = str(answer.get("message") or answer.get("error"))
        except (ValueError, AttributeError):
            message = "bad answer"
        raise failure_of(message, writes)

    async def stream(self, path: str, body: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Send one request whose answer does not end; yield its parts. Ends when the member ends it."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=1.0)
        async with self.session.post(self._url + path, data=json.dumps(body), timeout=timeout) as response:
            parts: list[bytes] = []  # of a line: one of a backlog may have megabytes
            async for chunk in response.content.iter_any():
                parts.append(chunk)
                if b"\n" not in chunk:
                    continue
                *lines, rest = b"".join(parts).split(b"\n")
                parts = [rest]
                for line in lines:
                    if line.strip():
                        yield json.loads(line)
