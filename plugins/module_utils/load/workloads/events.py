# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Events: publish numbers that are unique in a run; each client group subscribes to each topic and reads on.

A key is a topic. A subscriber has one poll of a topic under way at a time and keeps its place, so that what
its polls were answered, one after the other, is what was delivered to it.
"""

from __future__ import annotations

from typing import Any, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.load.workloads.base import Workload

MIX = {"publish": 0.5, "poll": 0.5}


class Events(Workload):
    """Polls become what is possible: a subscription where there is none yet, else one poll at a time.

    In the end one last number is published to each topic, and every subscriber reads until it has come.
    """

    read_only = frozenset({"poll"})
    tells_value = frozenset({"poll", "subscribe"})

    def __init__(self, mix: dict[str, float], first: int, step: int) -> None:
        unknown = set(mix) - set(MIX)
        if unknown:
            raise ValueError(f"workload events: mix has {sorted(unknown)}; allowed are {sorted(MIX)}")
        self._first, self._step = first, step
        self._topics: dict[str, None] = {}
        self._clients: dict[str, None] = {}
        self._places: dict[tuple[str, str], int] = {}
        self._busy: set[tuple[str, str]] = set()
        self._last: dict[str, int] = {}
        self._seen: dict[tuple[str, str], set[int]] = {}

    def prepare(self, number: int, f: str, key: str, client: str = "") -> tuple[str, Any]:
        """Return the function and value to invoke; a poll while one is under way becomes a publication."""
        self._topics[key] = self._clients[client] = None
        reader = (self._subscriber(client), key)
        if f == "publish" or reader in self._busy:
            return "publish", self._first + (number + 1) * self._step
        self._busy.add(reader)
        place: Optional[int] = self._places.get(reader)
        if place is None:
            return "subscribe", {"subscriber": reader[0]}
        return "poll", {"subscriber": reader[0], "after": place}

    def prepare_last(self, number: int, f: str, key: str, client: str) -> tuple[str, Any]:
        """Return the function and value to invoke when all is over, as before."""
        return self.prepare(number, f, key, client)

    def _subscriber(self, client: str) -> str:
        """Return the name that no other generator's client groups have."""
        return f"{client}-{self._first}"

    def observe(self, f: str, key: str, value: Any, kind: str) -> None:
        """Learn a subscriber's place, and which number came last of all."""
        if f == "publish":
            if kind == "ok":
                self._last[key] = value
            return
        reader = (value["subscriber"], key)
        self._busy.discard(reader)
        if kind != "ok":
            return
        self._places[reader] = value["revision"]
        if f == "poll":
            self._seen.setdefault(reader, set()).update(value["events"])

    def final_reads(self) -> list[tuple[str, ...]]:
        """Return (f, key, client) of what to do when all is over: publish once more, and read to the end."""
        self._last.clear()
        last: list[tuple[str, ...]] = [("publish", key) for key in self._topics]
        return last + [("poll", key, client) for key in self._topics for client in self._clients]

    def ended(self, f: str, key: str, client: str) -> bool:
        """Whether a topic's last number has come to a subscriber."""
        seen = self._seen.get((self._subscriber(client), key), set())
        return f == "publish" or self._last.get(key) in seen
