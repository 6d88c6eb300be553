# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The services of two nodes on one etcd of this process, on ports of the loopback device, in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from aiohttp import web
from ansible_collections.foundation.testbed.tests.support.fake_etcd import FakeEtcd
from ansible_collections.foundation.testbed.tests.support.served import SETTINGS

NODES = {"here": "n1", "another": "n2"}
READY_S = 20.0


@contextlib.contextmanager
def in_thread(*applications: web.Application, background: Any = ()) -> Iterator[list[str]]:
    """Serve applications until the end of the block; yields their addresses."""
    loop, ready, addresses = asyncio.new_event_loop(), threading.Event(), []
    stop = asyncio.Event()

    async def serve() -> None:
        runners = [web.AppRunner(application, shutdown_timeout=0.1) for application in applications]
        for runner in runners:
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            addresses.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
        tasks = [asyncio.ensure_future(each) for each in background]
        ready.set()
        await stop.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for runner in runners:
            await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert ready.wait(READY_S), "no service in time"
    try:
        yield addresses
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(READY_S)
        loop.close()


@contextlib.contextmanager
def running(modules: Mapping[str, Any], etcd: FakeEtcd | None = None) -> Iterator[dict[str, dict[str, str]]]:
    """Serve each system on two nodes; yields the addresses by system, and by `here` and `another`."""
    store = FakeEtcd() if etcd is None else etcd
    places = [(system, place, node) for system in modules for place, node in NODES.items()]
    built = [
        modules[system].build({**SETTINGS, "timeout_s": 10.0, "node": node}, store, check_answers=True)
        for system, _place, node in places
    ]
    work = [each for service in built for each in service.background]
    with in_thread(*(service.application for service in built), background=work) as addresses:
        services: dict[str, dict[str, str]] = {system: {} for system in modules}
        for (system, place, _node), address in zip(places, addresses, strict=True):
            services[system][place] = address
        for system, nodes in services.items():
            for address in nodes.values():
                _wait_until(_normal, address)
                if system == "foundation":
                    _wait_until(_takes_ids, address)
        yield services


def _wait_until(ready: Callable[[str], bool], address: str) -> None:
    end = time.monotonic() + READY_S
    while not ready(address):
        assert time.monotonic() < end, f"{address} is not ready in time"
        time.sleep(0.02)


def _normal(address: str) -> bool:
    """Whether a service has proof of a majority."""
    with urllib.request.urlopen(f"{address}/v1/status", timeout=READY_S) as response:
        return json.load(response)["mode"] == "normal"


def _takes_ids(address: str) -> bool:
    """Whether foundation has the lease that remembers ids, which it takes in the background."""
    body = json.dumps({"topic": "ready", "id": address.rpartition(":")[2]}).encode()
    request = urllib.request.Request(f"{address}/v1/events", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=READY_S) as response:
            return response.status in (200, 201)
    except urllib.error.HTTPError as error:
        error.close()
        return False
