# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What one fault did on one node, as the ledger tells it: when it was felt, held and gone.

Times are seconds since the start instant unless a name says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils.ledger_entry import (
    LEDGER_KEYS,
    Entry,
    number,
    since,
    total,
)

EDGE_S = 0.1
"""Seconds at each edge of the planned window in which a packet may still pass, or a cut be felt."""
ACT_S = 1.0
"""Seconds by which a node may be late with an act of its own: it is not the kernel that begins it."""


@dataclass(frozen=True, slots=True)
class NodeActs:
    """What the ledger holds about one fault on one node; ``blocked`` are the peers it must not reach.

    ``asked`` are the nodes that its probe after the removal concerns, ``others`` when a fault silenced those.
    ``cut_as_planned``: its end is a boot that another fault of the plan brought about.
    """

    node: str
    start_s: float
    end_s: float
    blocked: tuple[str, ...]
    entries: tuple[Entry, ...]
    start_wall_ns: int | None = None
    asked: frozenset[str] = frozenset()
    others: tuple[tuple[float, float], ...] = ()
    cut_as_planned: bool = False

    def excused(self, at_s: float) -> bool:
        """Whether a fault that can silence its probes held, on it or on a peer, while nobody answered."""
        return any(from_s <= at_s and self.end_s < to_s for from_s, to_s in self.others)

    def held_s(self) -> tuple[float, float] | None:
        """Return from when to when it held on the node, as its ledger says; None where it never did."""
        if self.idle is not None or (self.first("apply") is None and self.first("load") is None):
            return None
        from_s, gone = self.felt_s("apply"), self.first("gone") or {}
        # Until its own probe has passed, else only to its end: two failed probes do not excuse each other.
        to_s = number(gone.get("t_s"), self.end_s) if gone.get("probe_passed") is True else self._ended_s()
        return (self.start_s if from_s is None else from_s), to_s

    def _ended_s(self) -> float:
        ends = (self.first(event) for event in ("revert", "reverted", "interrupted", "gone"))
        last = next((entry for entry in ends if entry is not None), self.entries[-1])
        return number(last.get("t_s"), self.end_s)

    @property
    def idle(self) -> str | None:
        """Return why a state of its own system kept this node out; None when it took part."""
        entry = self.first("idle")
        return None if entry is None else str(entry.get("reason"))

    @property
    def by_itself(self) -> bool:
        """Whether the kernel begins and ends it, rather than an act of the agent."""
        return (self.first("check") or {}).get("lapses") is True

    @property
    def feels(self) -> bool:
        """Whether the node can tell when it begins and ends."""
        return not self.by_itself or (self.first("check") or {}).get("feels") is True

    def felt_s(self, event: str) -> float | None:
        """Return when a packet felt the fault begin ("apply") or end ("revert")."""
        entry = self.first(event)
        if entry is None:
            return None
        if self.start_wall_ns is None or not isinstance(entry.get("felt_ns"), (int, float)):
            return number(entry.get("t_s"), self.start_s if event == "apply" else self.end_s)
        return since(int(entry["felt_ns"]), self.start_wall_ns)

    def first(self, event: str) -> Entry | None:
        """Return the first ledger entry of this kind."""
        return next((entry for entry in self.entries if entry.get("event") == event), None)

    def held(self) -> list[Entry]:
        """Return the evidence from within the planned window, without its edges."""
        low_s = self.start_s + EDGE_S
        high_s = self.end_s - EDGE_S if self.by_itself else self.end_s + ACT_S
        entries = (entry for entry in self.entries if entry.get("event") == "evidence")
        return [entry for entry in entries if low_s <= number(entry.get("t_s"), -1.0) <= high_s]

    def tally(self) -> dict[str, Any]:
        """Return the node's packets and probes: the agent's totals, or the last evidence it left."""
        entry = self.first("record") or next(
            (entry for entry in reversed(self.entries) if entry.get("event") == "evidence"), {}
        )
        probes = entry.get("probes") or {}
        names = ("sent", "blocked", "passed", "open_sent", "open_passed")
        shared = ("packets", "probes", "present", "effective", *LEDGER_KEYS)
        return (
            {"packets": int(total(entry.get("packets")))}
            | {f"probes_{name}": int(total(probes.get(name))) for name in names}
            | {"figures": {key: value for key, value in entry.items() if key not in shared}}
        )
