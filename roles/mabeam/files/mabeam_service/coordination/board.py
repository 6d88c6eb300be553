# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What this node knows of all that goes on: agents, and things that have not ended. Pure memory.

It is made of the changes of the feed, transaction by transaction. What it says may be the past; so whoever
acts on it lets etcd compare.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from mabeam_service.coordination.keys import AGENTS, COORDINATOR, ENDING, OUTCOME, Parts, Place, place_of
from testbed_service.feed import Change, Held


class Thing(Parts):
    """A thing that goes on, and since when this node knows of it, in seconds of its own clock."""

    def __init__(self, since_s: float) -> None:
        super().__init__()
        self.since_s = since_s


class Board:
    """Agents and open things by name, and when others ended."""

    def __init__(self) -> None:
        self.agents: dict[str, Held] = {}
        self.open: dict[tuple[str, str], Thing] = {}
        self.ended: dict[tuple[str, str], float] = {}
        self.coordinator: Held | None = None
        self.revision = 0

    def rebuild(self, view: Mapping[str, Held], revision: int, now_s: float) -> None:
        """Begin anew from a view; what was known before keeps its age."""
        known = {name: thing.since_s for name, thing in self.open.items()}
        self.agents, self.open, self.ended, self.coordinator = {}, {}, {}, None
        for key, held in view.items():
            self._put(key, held, now_s)
        for name, thing in self.open.items():
            thing.since_s = known.get(name, now_s)
        self.revision = revision

    def apply(self, changes: Iterable[Change], revision: int, now_s: float) -> None:
        """Take changes in their order; the board is then as of `revision`."""
        for change in changes:
            if change.now is None:
                self._remove(change.key)
            else:
                self._put(change.key, change.now, now_s)
        self.revision = revision

    def _put(self, key: str, held: Held, now_s: float) -> None:
        if key == COORDINATOR:
            self.coordinator = held
        place = place_of(key)
        if place is None:
            return
        if place.kind == AGENTS:
            self.agents[place.name] = held
        elif place.kind in ENDING:
            self._put_part(place, held, now_s)

    def _put_part(self, place: Place, held: Held, now_s: float) -> None:
        name = (place.kind, place.name)
        if place.part == OUTCOME:
            self.open.pop(name, None)
            self.ended[name] = now_s
        elif name not in self.ended:
            self.open.setdefault(name, Thing(now_s))[place.part] = held

    def _remove(self, key: str) -> None:
        if key == COORDINATOR:
            self.coordinator = None
        place = place_of(key)
        if place is None:
            return
        name = (place.kind, place.name)
        if place.kind == AGENTS:
            self.agents.pop(place.name, None)
        elif place.part == OUTCOME:
            self.ended.pop(name, None)
        elif name in self.open:
            self.open[name].pop(place.part, None)
            if not self.open[name]:
                del self.open[name]

    def of_kind(self, kind: str) -> dict[str, Thing]:
        """Return the open things of a kind by name."""
        return {name: thing for (own, name), thing in self.open.items() if own == kind}

    def alive(self, agent: str, lease: str) -> bool:
        """Whether an agent still has the lease with which it registered."""
        held = self.agents.get(agent)
        return held is not None and held.lease == lease


def said(held: Held) -> dict[str, Any]:
    """Return the document that a key holds."""
    document: dict[str, Any] = json.loads(held.value)
    return document
