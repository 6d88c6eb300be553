# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A node's part of the topology, as the role `network` left it there, and the ways of right now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import read_json
from ansible_collections.foundation.testbed.plugins.module_utils.network import graph

CONFIG = Path("/etc/foundation-testbed/topology.json")
# In memory, as what they tell of is: the next hops of now, and what the kernel was told before us.
WAYS, BEFORE = Path("/run/foundation-testbed/ways.json"), Path("/run/foundation-testbed/network-before.json")
NETEM, NFQUEUE = "netem", "nfqueue"


@dataclass(frozen=True)
class Part:
    """What one node knows: addresses and link addresses by name, in the order of nodes, and all links.

    `latency_ms` is how long this node holds what it sends over its link to each neighbour, by `backend`.
    """

    testbed_id: str
    node: str
    addresses: Mapping[str, str]
    macs: Mapping[str, str]
    links: list[list[str]]
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    backend: Optional[str] = None

    @property
    def own(self) -> str:
        """Address of this node."""
        return self.addresses[self.node]

    @property
    def complete(self) -> bool:
        """Whether every node has a link to every other."""
        return graph.is_complete(list(self.addresses), self.links)

    @property
    def routed(self) -> bool:
        """Whether there is another way for some link that fails: somebody has to find it then."""
        return not self.complete and graph.has_another_way(list(self.addresses), self.links)

    @property
    def neighbours(self) -> list[str]:
        """Whom this node shares a link with."""
        return graph.neighbours(list(self.addresses), self.links)[self.node]

    def held_ms(self) -> dict[str, float]:
        """Return the latency of each link that has one, by the neighbour's address."""
        return {self.addresses[name]: held for name, held in self.latency_ms.items() if held > 0}

    def ways(self, links: Optional[list[list[str]]] = None) -> dict[str, str]:
        """Return next hops by destination, both addresses, over these links or all."""
        beside = graph.neighbours(list(self.addresses), self.links if links is None else links)
        found = graph.next_hops(beside, self.node)
        return {self.addresses[to]: self.addresses[via] for to, via in found.items()}


def read(path: Path = CONFIG) -> Optional[Part]:
    """Return this node's part, None where no topology was laid out; raises ValueError for half a file."""
    found: Optional[dict[str, Any]] = read_json(path)
    return None if found is None else Part(**found)


def ways_now(path: Path = WAYS) -> dict[str, str]:
    """Return the next hops of right now by destination, empty where none were laid out."""
    return dict(read_json(path) or {})


def held_to_s(address: str) -> float:
    """Return for how many seconds the topology holds what this node sends to an address right now."""
    part = read()
    if part is None:
        return 0.0
    return part.held_ms().get(ways_now().get(address, address), 0.0) / 1000
