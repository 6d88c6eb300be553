# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an activity of a Chaos Toolkit experiment can become, and what it can be about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Params = dict[str, Any]


class Unmapped(Exception):
    """What has no counterpart: where in the activity (`provider.func`), and why."""

    def __init__(self, where: str, why: str):
        super().__init__(why)
        self.where, self.why = where, why


@dataclass(frozen=True)
class Begin:
    """A fault begins; `undo` is what an activity that ends it has in common with it."""

    condition: Params
    undo: str
    lasts_s: float | None = None


@dataclass(frozen=True)
class End:
    """The faults of this name end."""

    undo: str


@dataclass
class Surroundings:
    """What an activity can be about."""

    nodes: Mapping[str, str]
    observers: list[str]
    # On which nodes a command without ssh is meant to run.
    command_nodes: list[str] = field(default_factory=list)
    # The node behind each proxy that the experiment made.
    proxies: dict[str, str] = field(default_factory=dict)

    def node(self, said: object, where: str) -> str:
        """Return the node of a name or an address; raises Unmapped."""
        for name, address in self.nodes.items():
            if said in (name, address):
                return name
        raise Unmapped(where, f"{said!r} is no node of the cluster ({', '.join(self.nodes)})")


Activity = Begin | End | None
