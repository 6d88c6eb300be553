# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Consensus: propose, vote and read. Many clients vote at once for a few members of each proposal."""

from __future__ import annotations

from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.load.workloads.base import Workload

MIX = {"propose": 0.2, "vote": 0.5, "read": 0.3}
MEMBERS = 5
CHOICES = ("approve", "approve", "reject")


class Consensus(Workload):
    """Lets members vote in turn, about a third of them to reject; reads every proposal at the end.

    A proposal is made of the number of its members, a vote of the member's number and the choice.
    """

    read_only = frozenset({"read"})
    tells_value = frozenset({"read"})

    def __init__(self, mix: dict[str, float], first: int, step: int) -> None:
        unknown = set(mix) - set(MIX)
        if unknown:
            raise ValueError(f"workload consensus: mix has {sorted(unknown)}; allowed are {sorted(MIX)}")
        self._first, self._step = first, step
        self._keys: dict[str, None] = {}
        self._votes = 0

    def prepare(self, number: int, f: str, key: str, client: str = "") -> tuple[str, Any]:
        """Return the function and value to invoke."""
        self._keys[key] = None
        if f == "propose":
            return f, MEMBERS
        if f == "read":
            return f, None
        self._votes += 1
        turn = self._first + self._votes * self._step
        return f, [turn % MEMBERS, CHOICES[turn // MEMBERS % len(CHOICES)]]

    def observe(self, f: str, key: str, value: Any, kind: str) -> None:
        """Learn nothing: what is asked next does not depend on answers."""

    def final_reads(self) -> list[tuple[str, ...]]:
        """Return (f, key) of what to read when all is over: every proposal that was used."""
        return [("read", key) for key in self._keys]
