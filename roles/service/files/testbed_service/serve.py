# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run a service: its settings, its sockets, its tasks in the background, and a clean end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import resource
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple

from aiohttp import web
from testbed_service.etcd import Gateway

LOG = logging.getLogger(__name__)
GRACE_S = 2.0
"""Seconds that requests under way are given at the end."""
GC_THRESHOLD = 10_000
"""New objects before garbage is looked for: requests leave hardly any behind."""


class Service(NamedTuple):
    """What a service is made of: its application, and what goes on in the background."""

    application: web.Application
    background: list[Coroutine[Any, Any, None]]


Build = Callable[[dict[str, Any], Gateway], Service]


def main(build: Build, arguments: list[str]) -> int:
    """Serve until SIGTERM; the one argument is the file of settings (JSON)."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    settings = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # one for each connection
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.install()
    return asyncio.run(serve(build, settings))


async def serve(build: Build, settings: dict[str, Any], stop: Awaitable[Any] | None = None) -> int:
    """Serve until told to stop; returns the exit status."""
    async with Gateway(settings["etcd"]) as gateway:
        service = build(settings, gateway)
        runner = web.AppRunner(service.application, access_log=None)
        await runner.setup()
        for address in settings["listen"]:
            await web.TCPSite(runner, address, settings["port"], reuse_address=True).start()
        LOG.info("serving on port %d of %s", settings["port"], ", ".join(settings["listen"]))
        tasks = [asyncio.ensure_future(each) for each in service.background]
        stopping = asyncio.ensure_future(stop if stop is not None else _told_to_stop())
        gc.freeze()  # what lives as long as the service is never scanned
        gc.set_threshold(GC_THRESHOLD)
        ended, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
        status = 0
        for task in ended - {stopping}:  # what has no end has ended: better to be started anew
            LOG.error("a task in the background ended", exc_info=task.exception())
            status = 1
        with contextlib.suppress(asyncio.TimeoutError):  # a reader that waits for news waits no longer
            await asyncio.wait_for(runner.cleanup(), GRACE_S)
        for task in [stopping, *tasks]:
            task.cancel()
        await asyncio.gather(stopping, *tasks, return_exceptions=True)
    return status


async def _told_to_stop() -> None:
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    await told.wait()
