# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The run's clock: the start instant, turned into this node's monotonic clock once."""

from __future__ import annotations

import asyncio
import time

TOO_LATE = "the start instant had passed before this node was armed"


class RunClock:
    """Time since the start instant of a run; a later step of the wall clock does not move it."""

    def __init__(self, start_wall_ns: int):
        self.start_wall_ns = start_wall_ns
        self.start_mono_ns = time.monotonic_ns() + start_wall_ns - time.time_ns()

    def now_s(self) -> float:
        """Seconds since the start instant; negative before it."""
        return (time.monotonic_ns() - self.start_mono_ns) / 1e9

    def wall_ns(self, offset_s: float) -> int:
        """Wall-clock nanoseconds of an offset from the start instant."""
        return self.start_wall_ns + round(offset_s * 1e9)

    async def until(self, offset_s: float) -> None:
        """Sleep until `offset_s` seconds after the start instant."""
        while (left := offset_s - self.now_s()) > 0:
            await asyncio.sleep(left)
