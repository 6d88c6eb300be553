# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Services on an etcd of one process, asked over HTTP, every answer held against the description."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

from aiohttp.test_utils import TestClient, TestServer
from ansible_collections.foundation.testbed.tests.support.fake_etcd import FakeEtcd

SETTINGS = {
    "node": "n1", "version": "1", "timeout_s": 1.0, "detect_s": 3.0, "safe_s": 8.0, "faulty": [],
}  # fmt: skip
Ask = Callable[..., Awaitable[Any]]


@contextlib.asynccontextmanager
async def serving(module: Any, etcd: FakeEtcd, **settings: Any) -> AsyncIterator[Ask]:
    """Serve; yields `ask(method, path, body)`, which returns status and body."""
    built = module.build({**SETTINGS, **settings}, etcd, check_answers=True)
    tasks = [asyncio.ensure_future(each) for each in built.background]
    async with TestClient(TestServer(built.application)) as client:

        async def ask(method: str, path: str, body: Any = None) -> Any:
            more = {} if body is None else {"json": body}
            async with client.request(method, path, **more) as response:
                said = await response.json(content_type=None) if response.status != 204 else None
                return SimpleNamespace(status=response.status, body=said)

        try:
            while not _is_well((await ask("GET", "/v1/status")).body):
                await asyncio.sleep(0.001)
            yield ask
            assert not etcd.failing, f"nothing met {etcd.failing}"
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            broken = [each for each in ended if not isinstance(each, asyncio.CancelledError)]
            assert not broken, broken


def _is_well(status: dict[str, Any]) -> bool:
    """Whether a service has a majority and has read what there is."""
    return bool(status["mode"] == "normal" and status["revision"] > 0)


async def eventually(found: Callable[[], Awaitable[Any]], timeout_s: float = 5.0) -> Any:
    """Return what was found as soon as it is something."""
    end = time.monotonic() + timeout_s
    while not (what := await found()):
        assert time.monotonic() < end, "not in time"
        await asyncio.sleep(0.005)
    return what


def kind(answer: Any) -> str:
    """Return the type of the problem that was answered."""
    return str(answer.body["type"]).rsplit(":", 1)[-1]
