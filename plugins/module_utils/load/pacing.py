# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Alarms at absolute monotonic instants on an asyncio loop.

The loop's own timers are rounded up to a millisecond; a timerfd is about ten times finer. Where the kernel or
the C library has none, the loop's timers serve.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import time
from typing import Callable, Optional, Union

NS = 1_000_000_000
_CLOCK_MONOTONIC = 1
_ABSOLUTE = 1
_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC


class _Timespec(ctypes.Structure):
    _fields_ = (("sec", ctypes.c_long), ("nsec", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class TimerfdAlarm:
    """Call `callback` at a monotonic instant, by the kernel's timerfd."""

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd: int = self._libc.timerfd_create(_CLOCK_MONOTONIC, _FLAGS)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._loop, self._callback = loop, callback
        loop.add_reader(self._fd, self._ring)

    def set(self, mono_ns: int) -> None:
        """Ring at `mono_ns` on CLOCK_MONOTONIC, at once if that has passed; replaces an earlier instant."""
        sec, nsec = divmod(max(mono_ns, 1), NS)
        spec = _Itimerspec(_Timespec(0, 0), _Timespec(sec, nsec))
        if self._libc.timerfd_settime(self._fd, _ABSOLUTE, ctypes.byref(spec), None) != 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def _ring(self) -> None:
        with contextlib.suppress(BlockingIOError):  # set anew since it rang
            os.read(self._fd, 8)
        self._callback()

    def close(self) -> None:
        """Never ring again."""
        self._loop.remove_reader(self._fd)
        os.close(self._fd)


class LoopAlarm:
    """The same by the loop's own timers; coarser."""

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self._loop, self._callback = loop, callback
        self._handle: Optional[asyncio.TimerHandle] = None

    def set(self, mono_ns: int) -> None:
        """Ring at `mono_ns` on CLOCK_MONOTONIC; replaces an earlier instant."""
        self.close()
        delay_s = (mono_ns - time.monotonic_ns()) / NS
        self._handle = self._loop.call_later(max(delay_s, 0.0), self._callback)

    def close(self) -> None:
        """Never ring again."""
        if self._handle is not None:
            self._handle.cancel()


Alarm = Union[TimerfdAlarm, LoopAlarm]


def make_alarm(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> Alarm:
    """Return the finest alarm that this machine has."""
    try:
        return TimerfdAlarm(loop, callback)
    except (OSError, AttributeError):
        return LoopAlarm(loop, callback)


def wall_to_mono_ns(wall_ns: int) -> int:
    """Turn a wall-clock instant into this machine's monotonic clock; the tightest of several readings."""
    readings = []
    for _ in range(9):
        before, wall, after = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        readings.append((after - before, (before + after) // 2 - wall))
    return wall_ns + min(readings)[1]
