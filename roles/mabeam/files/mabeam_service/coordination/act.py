# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a coordinator decides to do, as a value: what must hold, what is written, what events tell of it."""

from __future__ import annotations

from typing import Any, NamedTuple

Json = dict[str, Any]


class Coordinator(NamedTuple):
    """Who decides: a node, and the token of its election."""

    node: str
    token: int

    @property
    def record(self) -> Json:
        """Return what outcomes say of it."""
        return {"node": self.node, "token": self.token}


class Act(NamedTuple):
    """One change, done as a whole or not at all."""

    compare: list[Json]
    writes: list[Json]
    events: list[tuple[str, Json]]
