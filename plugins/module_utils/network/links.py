# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which links work right now, as one node knows it: pure, its clock is handed in.

Neighbours greet each other; a greeting carries everything its sender knows: of every node, with a number that
grows, which of its neighbours it has not heard. A link works unless one of its ends says so. A node that has
died says nothing any more, so its neighbours say it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# Seconds between greetings, and after how many without one a neighbour counts as gone.
GREET_S, GONE_S = 0.25, 2.0
# A pause of our own that is no neighbour's fault: we were frozen, or had no processor.
PAUSE_S = 1.0

Record = tuple[int, tuple[str, ...]]


class Links:
    """The state of all links in the eyes of `node`; `first` is a number that no earlier life of it used."""

    def __init__(
        self,
        node: str,
        links: Sequence[Sequence[str]],
        now_s: float,
        first: int,
        latency_s: Mapping[str, float],
    ):
        self.node, self.links = node, links
        self.beside = sorted({name for link in links if node in link for name in link} - {node})
        # A first greeting takes as long as the link holds it.
        self.heard_s = {name: now_s + latency_s.get(name, 0.0) for name in self.beside}
        self.records: dict[str, Record] = {node: (first, ())}
        self.last_s = now_s

    def greeting(self) -> dict[str, Any]:
        """Return what to tell every neighbour."""
        return {
            "from": self.node,
            "records": {name: [at, list(gone)] for name, (at, gone) in self.records.items()},
        }

    def hear(self, said: Mapping[str, Any], now_s: float) -> bool:
        """Take in a neighbour's greeting; returns whether anything is new. Raises ValueError for nonsense."""
        if said.get("from") not in self.heard_s or not isinstance(said.get("records"), dict):
            raise ValueError("no greeting of a neighbour")
        self.heard_s[said["from"]] = max(now_s, self.heard_s[said["from"]])
        new = self.look(now_s)
        for name, (number, gone) in said["records"].items():
            known, own = self.records.get(name, (-1, ()))
            if name == self.node:
                if number > known or (number == known and tuple(gone) != own):
                    self.records[name] = (number + 1, own)  # an earlier life of ours
                    new = True
            elif number > known:
                self.records[name] = (int(number), tuple(map(str, gone)))
                new = True
        return new

    def look(self, now_s: float) -> bool:
        """See which neighbours are gone by now; returns whether that has changed."""
        pause_s, self.last_s = now_s - self.last_s, now_s
        if pause_s > PAUSE_S:
            self.heard_s = {name: at + pause_s for name, at in self.heard_s.items()}
        gone = tuple(name for name in self.beside if now_s - self.heard_s[name] > GONE_S)
        number, before = self.records[self.node]
        if gone == before:
            return False
        self.records[self.node] = (number + 1, gone)
        return True

    def working(self) -> list[list[str]]:
        """Return the links that both ends have."""
        gone = {name: set(record[1]) for name, record in self.records.items()}
        return [
            [one, other]
            for one, other in self.links
            if other not in gone.get(one, ()) and one not in gone.get(other, ())
        ]
