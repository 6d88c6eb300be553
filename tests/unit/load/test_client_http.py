# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A request of a load goes out once, no answer is taken for another's, and how it ended is told."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time

import pytest
import uvloop
from ansible_collections.foundation.testbed.roles.etcd.files import client_http
from ansible_collections.foundation.testbed.roles.etcd.files.client_http import (
    NEVER_SENT,
    NoAnswer,
    StickyClient,
    request_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 409 Conflict\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n\xc3\xa4b\r\n1\r\nc\r\n0\r\n\r\n"
LAST = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nlast"
LATE = object()
"""No answer until the next request has come."""


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def run(request):
    """Run a coroutine to its end, at most ten seconds, on either kind of loop."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def bounded(coroutine):
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(asyncio.wait_for(coroutine, 10))

    return bounded


class Server:
    """Answers each request with the next of some answers, `None` closes; keeps what it was asked."""

    def __init__(self, *answers):
        self.answers, self.requests, self.late = list(answers), [], asyncio.Event()
        self.connections = self.ended = 0

    async def serve(self, reader, writer):
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = [line for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")]
                body = await reader.readexactly(int(length[0].split()[1])) if length else b""
                self.requests.append(head + body)
                answer = self.answers.pop(0)
                if answer is LATE:
                    await self.late.wait()
                    answer = OK
                for part in answer if isinstance(answer, list) else [answer]:
                    if part is None:
                        raise ConnectionAbortedError
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0)
        self.ended += 1
        writer.close()


@contextlib.asynccontextmanager
async def served(*answers, timeout_s=5.0):
    """Yield a server, and a client of it."""
    server = Server(*answers)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    client = StickyClient({"n1": "127.0.0.1"}, port, timeout_s)
    try:
        yield server, client
    finally:
        await client.close()
        listening.close()


async def asked(client, count):
    """What became of some requests, one after the other."""
    return [await ended(client.exchange("n1", "GET", f"/{number}")) for number in range(count)]


async def ended(exchange):
    try:
        return await exchange
    except NoAnswer as error:
        return error.word


def test_what_goes_over_the_wire():
    whole = request_of("h:1", "PUT", "/names/a:b c/é", {"owner": "ö"}, {"after": "1", "of": "x y"})
    head, _, body = whole.partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"PUT /names/a:b%20c/%C3%A9?after=1&of=x+y HTTP/1.1",
        b"Host: h:1",
        b"Content-Type: application/json",
        b"Content-Length: 19",
    ]
    assert (len(body), json.loads(body)) == (19, {"owner": "ö"})
    assert request_of("h:1", "GET", "/") == b"GET / HTTP/1.1\r\nHost: h:1\r\n\r\n"
    assert request_of("h:1", "POST", "/").endswith(b"\r\nContent-Length: 0\r\n\r\n")


@given(text=st.text())
def test_no_path_and_no_query_can_add_to_a_request(text):
    for whole in (request_of("h:1", "GET", f"/{text}"), request_of("h:1", "GET", "/", None, {"a": text})):
        assert whole.count(b"\r\n") == 3
        assert whole.split(b"\r\n")[0].count(b" ") == 2


def test_a_connection_serves_one_request_after_the_other(run):
    async def main():
        async with served(OK, CHUNKED, b"HTTP/1.1 204 No Content\r\n\r\n", OK) as (server, client):
            assert await asked(client, 4) == [(200, "ok"), (409, "äbc"), (204, ""), (200, "ok")]
            assert (server.connections, len(server.requests)) == (1, 4)

    run(main())


def test_requests_at_the_same_time_have_a_connection_each(run):
    async def main():
        async with served(LATE, OK, OK) as (server, client):
            first = asyncio.ensure_future(client.exchange("n1", "GET", "/first"))
            while not server.requests:
                await asyncio.sleep(0.001)
            assert await asked(client, 1) == [(200, "ok")]
            server.late.set()
            assert await first == (200, "ok")
            await asked(client, 1)
            assert (server.connections, len(server.requests)) == (2, 3)

    run(main())


@settings(max_examples=50, deadline=None)
@given(cuts=st.lists(st.integers(1, len(CHUNKED) - 1), max_size=6))
def test_an_answer_may_come_in_any_parts(run, cuts):
    edges = [0, *sorted(set(cuts)), len(CHUNKED)]
    parts = [CHUNKED[begin:end] for begin, end in itertools.pairwise(edges)]

    async def main():
        async with served(parts) as (_server, client):
            assert await asked(client, 1) == [(409, "äbc")]

    run(main())


@pytest.mark.parametrize(
    "ending", [LAST, [OK, None], [OK, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno"], [OK, b"HT"]]
)
def test_a_connection_that_has_ended_or_says_too_much_serves_no_other_request(run, ending):
    async def main():
        async with served(ending, OK) as (server, client):
            assert (await asked(client, 1))[0][0] == 200
            while not server.ended:
                await asyncio.sleep(0.001)
            for _ in range(5):  # turns of the loop, which hears of an end that the kernel has had
                await asyncio.sleep(0.005)
            assert await asked(client, 1) == [(200, "ok")]
            assert (server.connections, len(server.requests)) == (2, 2)

    run(main())


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (None, "connection-lost"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf", "timeout"),
        (LATE, "timeout"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "bad-answer"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "timeout"),
    ],
    ids=["closed", "half of it", "none", "of another protocol", "only an announcement"],
)
def test_without_an_answer_nothing_is_sent_again(run, answer, word):
    async def main():
        async with served(answer, OK, timeout_s=1.0) as (server, client):
            assert await asked(client, 1) == [word]
            assert len(server.requests) == 1
            server.late.set()
            await asyncio.sleep(0.02)
            assert await asked(client, 1) == [(200, "ok")], "a late answer is of no later request"
            while not server.ended:
                await asyncio.sleep(0.001)
            assert server.connections == 2

    run(main())


def test_an_answer_that_is_no_text_is_none(run):
    async def main():
        async with served(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n\xff") as (server, client):
            assert await asked(client, 1) == ["bad-answer"]
            assert len(server.requests) == 1

    run(main())


def test_an_announcement_comes_before_the_answer(run):
    async def main():
        async with served([b"HTTP/1.1 100 Continue\r\n\r\n", OK]) as (_server, client):
            assert await asked(client, 1) == [(200, "ok")]

    run(main())


def test_a_request_that_is_cancelled_takes_its_connection_with_it(run):
    async def main():
        async with served([], OK) as (server, client):
            first = asyncio.ensure_future(client.exchange("n1", "GET", "/first"))
            while not server.requests:
                await asyncio.sleep(0.001)
            first.cancel()
            assert isinstance(
                (await asyncio.gather(first, return_exceptions=True))[0], asyncio.CancelledError
            )
            while not server.ended:
                await asyncio.sleep(0.001)
            assert await asked(client, 1) == [(200, "ok")]
            assert server.connections == 2

    run(main())


def test_a_connection_that_nobody_needs_is_closed(run, monkeypatch):
    """Else one whose end was lost in a partition would take a request after it, and lose it."""
    monkeypatch.setattr(client_http, "IDLE_S", 0.05)

    async def main():
        async with served(OK, OK) as (server, client):
            assert await asked(client, 1) == [(200, "ok")]
            while not server.ended:
                await asyncio.sleep(0.001)
            assert await asked(client, 1) == [(200, "ok")]
            assert server.connections == 2

    run(main())


def test_a_connection_on_which_somebody_waits_is_not_closed(run, monkeypatch):
    monkeypatch.setattr(client_http, "IDLE_S", 0.02)

    async def main():
        async with served(OK, LATE) as (server, client):
            asyncio.get_running_loop().call_later(0.2, server.late.set)
            assert await asked(client, 2) == [(200, "ok"), (200, "ok")]

    run(main())


def test_a_connection_that_ends_before_the_request_goes_out_has_sent_nothing(run, monkeypatch):
    async def main():
        loop = asyncio.get_running_loop()
        connect = loop.create_connection

        async def create_connection(*arguments):
            transport, connection = await connect(*arguments)
            transport.abort()
            await asyncio.sleep(0.01)
            return transport, connection

        monkeypatch.setattr(loop, "create_connection", create_connection)
        async with served(OK) as (server, client):
            assert await asked(client, 1) == ["unreachable"]
            assert server.requests == []

    run(main())


def test_nobody_listens(run):
    assert run(asked(StickyClient({"n1": "127.0.0.1:1"}, 2379, 1.0), 1)) == ["refused"]
    assert "refused" in NEVER_SENT


def test_no_connection_comes_about(run, monkeypatch):
    async def main():
        async def create_connection(*_):
            await asyncio.sleep(60)

        monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", create_connection)
        return await asked(StickyClient({"n1": "192.0.2.1"}, 2379, 0.2), 1)

    began = time.monotonic()
    assert run(main()) == ["unreachable"]
    assert time.monotonic() - began < 5
    assert "unreachable" in NEVER_SENT
