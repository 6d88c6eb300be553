# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A registry: register, look up and unregister names, with owners that are unique in a run."""

from __future__ import annotations

from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.load.workloads.base import Workload

MIX = {"lookup": 0.5, "register": 0.3, "unregister": 0.2}


class Registry(Workload):
    """Gives every registration its own owner; looks every name up at the end."""

    read_only = frozenset({"lookup"})
    tells_value = frozenset(MIX)

    def __init__(self, mix: dict[str, float], first: int, step: int) -> None:
        unknown = set(mix) - set(MIX)
        if unknown:
            raise ValueError(f"workload registry: mix has {sorted(unknown)}; allowed are {sorted(MIX)}")
        self._first, self._step = first, step
        self._names: dict[str, None] = {}

    def prepare(self, number: int, f: str, key: str, client: str = "") -> tuple[str, Any]:
        """Return the function and value to invoke: the owner of a registration, else nothing."""
        self._names[key] = None
        return f, self._first + (number + 1) * self._step if f == "register" else None

    def observe(self, f: str, key: str, value: Any, kind: str) -> None:
        """Learn nothing: what is asked next does not depend on answers."""

    def final_reads(self) -> list[tuple[str, ...]]:
        """Return (f, key) of what to read when all is over: every name that was used."""
        return [("lookup", name) for name in self._names]
