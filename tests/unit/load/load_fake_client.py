# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A register system within the process, with hooks for misbehaviour."""

from __future__ import annotations

import asyncio
import time
from typing import Any, NamedTuple


class Completion(NamedTuple):
    type: str
    value: Any
    error: str | None
    node: str | None


class Client:
    """Correct and quick; all clients share one store."""

    store: dict[str, int] = {}  # noqa: RUF012

    def __init__(self, endpoints: dict[str, str], timeout_s: float, options: dict[str, Any]) -> None:
        self.node, self.timeout_s, self.delay_s = (
            next(iter(endpoints)),
            timeout_s,
            options.get("delay_s", 0.001),
        )

    async def invoke(self, f: str, key: str, value: Any) -> Completion:
        await asyncio.sleep(self.delay_s)
        return self.apply(f, key, value)

    def apply(self, f: str, key: str, value: Any) -> Completion:
        if f == "read":
            return Completion("ok", self.store.get(key), None, self.node)
        if f == "cas" and self.store.get(key) != value[0]:
            return Completion("fail", value, "mismatch", self.node)
        self.store[key] = value[1] if f == "cas" else value
        return Completion("ok", value, None, self.node)

    async def close(self) -> None:
        pass


class Blocking(Client):
    """The same as a blocking library."""

    def invoke(self, f: str, key: str, value: Any) -> Completion:
        time.sleep(0.001)
        return self.apply(f, key, value)

    def close(self) -> None:
        pass
