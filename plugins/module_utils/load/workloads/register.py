# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Registers: read, write and compare-and-set of integers that are unique in a run."""

from __future__ import annotations

from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.load.workloads.base import Workload

READ_ONLY = frozenset({"read"})
MIX = {"read": 0.5, "write": 0.3, "cas": 0.2}


class Register(Workload):
    """Gives every write its own value, and every cas an expected value that the key probably holds."""

    read_only = READ_ONLY
    tells_value = READ_ONLY

    def __init__(self, mix: dict[str, float], first: int, step: int) -> None:
        unknown = set(mix) - set(MIX)
        if unknown:
            raise ValueError(f"workload register: mix has {sorted(unknown)}; allowed are {sorted(MIX)}")
        self._first, self._step = first, step
        self._held: dict[str, int] = {}
        self._keys: dict[str, None] = {}

    def prepare(self, number: int, f: str, key: str, client: str = "") -> tuple[str, Any]:
        """Return the function and value to invoke; a cas on a key of unknown content becomes a write."""
        self._keys[key] = None
        if f == "read":
            return f, None
        value = self._first + (number + 1) * self._step
        if f == "cas" and key in self._held:
            return f, [self._held[key], value]
        return "write", value

    def observe(self, f: str, key: str, value: Any, kind: str) -> None:
        """Learn from a completion what the key held last."""
        if kind != "ok":
            return
        held = value[1] if f == "cas" else value
        if held is None:
            self._held.pop(key, None)
        else:
            self._held[key] = held

    def final_reads(self) -> list[tuple[str, ...]]:
        """Return (f, key) of what to read when all is over: every key that was used."""
        return [("read", key) for key in self._keys]
