# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run a function in a process of its own, with a cap on its memory and on its time.

A search may explode. It then takes down its own process, never the caller: whatever ends the child, the
caller gets a value or a reason in bounded time.
"""

from __future__ import annotations

import os
import pickle
import resource
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

_CHUNK = 1 << 16


class BoundsError(Exception):
    """The function gave no value within its bounds; the text says why."""


def run_bounded(function: Callable[[], T], *, max_seconds: float, max_memory_bytes: int) -> T:
    """Return what the function returns, computed in a child; raise BoundsError when it cannot be had."""
    try:
        reading, writing = os.pipe()
        child = os.fork()
    except OSError as problem:
        raise BoundsError(f"no process could be started: {problem}") from problem
    if child == 0:
        os.close(reading)
        _child(function, writing, max_memory_bytes)
    os.close(writing)
    try:
        data = _read(reading, time.monotonic() + max_seconds)
    finally:
        os.close(reading)
        status = _end(child)
    return _value(data, status, max_seconds)  # type: ignore[no-any-return]


def _child(function: Callable[[], Any], writing: int, max_memory_bytes: int) -> NoReturn:
    """Compute, send, exit at once: nothing that the parent set up may run a second time."""
    code = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        _cap_memory(max_memory_bytes)
        _send(writing, _outcome(function))
        code = 0
    finally:
        os._exit(code)


def _outcome(function: Callable[[], Any]) -> bytes:
    try:
        return pickle.dumps((True, function()))
    except MemoryError:
        return pickle.dumps((False, "it ran out of its memory cap"))
    except Exception as problem:
        return pickle.dumps((False, f"it broke: {type(problem).__name__}: {problem}"))


def _cap_memory(extra: int) -> None:
    """Allow so much address space above what the process has now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    cap = pages * resource.getpagesize() + extra
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard != resource.RLIM_INFINITY:
        cap = min(cap, hard)
    resource.setrlimit(resource.RLIMIT_AS, (cap, cap))


def _send(writing: int, data: bytes) -> None:
    while data:
        data = data[os.write(writing, data) :]


def _read(reading: int, deadline: float) -> bytes | None:
    """Read to the end of the stream; None when the time was up first."""
    chunks: list[bytes] = []
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([reading], [], [], left)[0]:
            return None
        chunk = os.read(reading, _CHUNK)
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)


def _end(child: int) -> int:
    """Make sure that the child is gone, and return its wait status (of no meaning if it had to be killed)."""
    try:
        os.kill(child, signal.SIGKILL)
        return os.waitpid(child, 0)[1]
    except (ProcessLookupError, ChildProcessError):
        return 0


def _value(data: bytes | None, status: int, max_seconds: float) -> Any:
    if data is None:
        raise BoundsError(f"it was not done after {max_seconds:g} s")
    try:
        done, value = pickle.loads(data)
    except (pickle.UnpicklingError, EOFError, ValueError) as problem:
        raise BoundsError(f"its process died (wait status {status})") from problem
    if not done:
        raise BoundsError(value)
    return value
