# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Clients of a system under test: load its adapter, and give blocking clients a thread of their own.

An adapter is a Python file with a class `Client(endpoints, timeout_s, options)`. `invoke(f, key, value)`, a
coroutine or a plain method, returns an object with `type` (ok, fail or info), `value`, `error` and `node`;
`node` on the client names the endpoint it would ask next; `close()` lets go of everything. An adapter may
have `event_loop_policy()`, whose event loop its coroutines then run in.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import inspect
import threading
from collections import deque
from pathlib import Path
from queue import SimpleQueue
from types import ModuleType
from typing import Any, NamedTuple, Optional


class Outcome(NamedTuple):
    """What became of one operation."""

    type: str
    value: Any
    error: Optional[str]
    node: Optional[str]


def load_client(adapter: str | Path | ModuleType) -> ModuleType:
    """Return the adapter module, imported from a file unless it is a module already."""
    if isinstance(adapter, ModuleType):
        return adapter
    path = Path(adapter)
    spec = importlib.util.spec_from_file_location(f"system_client_{path.parent.parent.name}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"no system adapter at {path}; give that of roles/<system>/files/client.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_client(module: ModuleType, endpoints: dict[str, str], timeout_s: float, options: Any) -> Any:
    """Return a client whose `invoke` can be awaited."""
    client = module.Client(endpoints, timeout_s, options)
    return client if inspect.iscoroutinefunction(client.invoke) else ThreadClient(client)


class ThreadClient:
    """A blocking client behind a daemon thread: one that hangs holds up neither the loop nor the exit."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._todo: SimpleQueue[Any] = SimpleQueue()
        threading.Thread(target=self._work, daemon=True).start()

    @property
    def node(self) -> Optional[str]:
        """Name the endpoint that will be asked next."""
        return getattr(self._client, "node", None)

    async def invoke(self, f: str, key: str, value: Any) -> Any:
        """Run one operation in the thread."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._todo.put((loop, future, (f, key, value)))
        return await future

    async def close(self) -> None:
        """Let the thread close the client and end, when it is free."""
        self._todo.put(None)

    def _work(self) -> None:
        while True:
            job = self._todo.get()
            if job is None:
                break
            loop, future, arguments = job
            result, error = self._call(arguments)
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(_settle, future, result, error)
        with contextlib.suppress(Exception):
            self._client.close()

    def _call(self, arguments: tuple[str, str, Any]) -> tuple[Any, Optional[Exception]]:
        try:
            return self._client.invoke(*arguments), None
        except Exception as error:
            return None, error


def _settle(future: asyncio.Future[Any], result: Any, error: Optional[Exception]) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


class Slot:
    """One connection-like place of a client group, and the logical process that lives in it now."""

    def __init__(self, group: Group, client: Any, process: int, spare: bool) -> None:
        self.group, self.client, self.process, self.spare = group, client, process, spare


class Group:
    """All logical processes of one client group of the program.

    Slots take turns, so the clients of an unpinned group spread over its endpoints: slot k begins at
    endpoint k. There are as many slots as endpoints; spare ones serve only while all of these are busy, so
    that a stall does not leave hundreds of clients behind which each meet the next fault anew.
    """

    def __init__(self, module: ModuleType, spec: dict[str, Any], timeout_s: float, numbers: Numbers) -> None:
        self.name: str = spec["name"]
        self._module, self._spec, self._timeout_s, self._numbers = module, spec, timeout_s, numbers
        self.slots: list[Slot] = []
        self.free: deque[Slot] = deque()
        self._spares: list[Slot] = []
        for _ in spec["endpoints"]:
            self.free.append(self._add(spare=False))

    def _add(self, spare: bool) -> Slot:
        names = list(self._spec["endpoints"])
        turn = len(self.slots) % len(names)
        endpoints = {name: self._spec["endpoints"][name] for name in names[turn:] + names[:turn]}
        client = make_client(self._module, endpoints, self._timeout_s, self._spec.get("options") or {})
        slot = Slot(self, client, self._numbers.new(), spare)
        self.slots.append(slot)
        return slot

    def take(self) -> Slot:
        """Return a free slot, a new one if all are busy."""
        if self.free:
            return self.free.popleft()
        return self._spares.pop() if self._spares else self._add(spare=True)

    def give(self, slot: Slot, retired: bool) -> None:
        """Take a slot back; after an indeterminate operation a new process lives in it."""
        if retired:
            slot.process = self._numbers.new()
        (self._spares if slot.spare else self.free).append(slot)


class Numbers:
    """Integers that no other generator of the run hands out."""

    def __init__(self, program: dict[str, Any]) -> None:
        self._next, self._step = numbering(program)

    def new(self) -> int:
        """Return the next number."""
        self._next += self._step
        return self._next - self._step


def numbering(program: dict[str, Any]) -> tuple[int, int]:
    """Return the first number and the step of a generator.

    With `index` and `generators` in the program the numbers interleave. Without, the generator's name chooses
    one of a million ranges of 2**32, so that numbers stay exact in every JSON reader.
    """
    if "index" in program:
        return int(program["index"]), int(program["generators"])
    name = str(program["generator"])
    return (int.from_bytes(name.encode(), "big") % 1_048_573) << 32, 1
