# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a kind of fault is: the base of every class in `module_utils/faults` (docs/adding-a-fault.md)."""

from __future__ import annotations

import importlib
import math
import pkgutil
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Optional

from ansible_collections.foundation.testbed.plugins.module_utils import faults
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import Parameter, text

# What a fault may be called: its name becomes part of those of a unit, a folder and a table.
fault_id = text(
    r"[a-z][a-z0-9-]{0,20}", "a lower-case letter, then at most 20 lower-case letters, digits, hyphens"
)


@dataclass(frozen=True)
class ClusterView:
    """What a plan must know of a cluster; addresses by name, in the inventory's order.

    `management` are addresses from which the controller reaches the nodes: no fault may cut them.
    `units`, `states`, `data_paths`, `series` and `options` are those of each system's own description;
    `provider` and `switches`, the names of power switches, are by node; `groups` are the inventory's, with
    their nodes; `topology` is kind, hub and links, no links for a full mesh without latency; `max_rate` is
    the most operations per second that all observers together can send, `min_operation_timeout_s` the least
    time that an operation is given, `scrape_interval_s` the time between two looks at the nodes' figures.
    """

    testbed_id: str
    nodes: Mapping[str, str]
    observers: Mapping[str, str]
    systems: Mapping[str, Sequence[str]]
    workloads: Mapping[str, Sequence[str]]
    units: Mapping[str, Sequence[str]] = field(default_factory=dict)
    states: Mapping[str, Sequence[str]] = field(default_factory=dict)
    data_paths: Mapping[str, Sequence[str]] = field(default_factory=dict)
    series: Mapping[str, Sequence[dict[str, Any]]] = field(default_factory=dict)
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    provider: Mapping[str, str] = field(default_factory=dict)
    switches: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    topology: Mapping[str, Any] = field(default_factory=dict)
    management: Sequence[str] = ()
    max_down: int = 0
    max_rate: float = math.inf
    min_operation_timeout_s: float = 0.0
    scrape_interval_s: float = 1.0

    def switch_of(self, node: str) -> str:
        """Return the name of a node's power switch: where nothing else is said, its provider is it."""
        return self.switches.get(node, self.provider.get(node, ""))


@dataclass(frozen=True)
class Targets:
    """Whom a condition is about: the nodes it chose, the cluster around them, and its own random draw.

    `conditional`: each chosen node finds out by itself, on its system's state, whether and when it acts; so
    no other node can take part.
    """

    chosen: Sequence[str]
    cluster: ClusterView
    draw: random.Random
    conditional: bool = False


@dataclass(frozen=True)
class Row:
    """One line of the generated catalogue.

    `refused` maps a provider to the true reason why it cannot, `needs` to what a node has to have there.
    """

    fault: str
    example: str
    mechanism: str
    evidence: str
    refused: Mapping[str, str] = field(default_factory=dict)
    needs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """One fault on this node. `scheduled` is False when it begins at once, on a state of the system.

    `observe_every_s` are the seconds between two calls of `observe`.
    """

    run: str
    fault_id: str
    program: dict[str, Any]
    start_wall_ns: int
    end_wall_ns: int
    scheduled: bool
    observe_every_s: float = 0.25


class Fault:
    """One fault on one node. A kind overrides what differs; everything here blocks and runs in a thread."""

    # What a user may say of it, and its lines of the catalogue.
    parameters: ClassVar[Mapping[str, Parameter]] = {}
    catalogue: ClassVar[Sequence[Row]] = ()
    # Whether what it does to a node would still be there after a reboot.
    survives_reboot: ClassVar[bool] = False
    # Whether it can begin and end at whole seconds only.
    whole_seconds: ClassVar[bool] = False

    # Whether the node itself does it; if not, the provider's side does it to the node.
    on_node: ClassVar[bool] = True

    def __init__(self, context: Context):
        self.context = context
        self.program = context.program

    @staticmethod
    def problems(params: Mapping[str, Any]) -> Iterable[str]:
        """Say what is wrong with parameters that are right one by one, as `key: given ...; allowed: ...`."""
        return ()

    @staticmethod
    def names_nodes(params: Mapping[str, Any]) -> Optional[str]:
        """Return the parameter that says by itself which nodes it is about: none are chosen beside it."""
        return None

    @staticmethod
    def takes_down(params: Mapping[str, Any]) -> bool:
        """Whether a node so treated is down: never more of them at once than `max_down`."""
        return False

    @staticmethod
    def plan(params: dict[str, Any], targets: Targets) -> dict[str, dict[str, Any]]:
        """Return each host's program, plain JSON; raises ValueError `key: given ...; allowed: ...`. Pure."""
        return dict.fromkeys(targets.chosen, params)

    @staticmethod
    def capable(program: dict[str, Any]) -> list[str]:
        """Reasons why this node cannot do it, empty when it can; asked before a run, changes nothing."""
        return []

    @property
    def lead_s(self) -> float:
        """Seconds before its start at which it is applied; above 0 the kernel begins it by itself."""
        return 0.0

    @property
    def lapses(self) -> bool:
        """Whether the effect ends by itself at its planned end."""
        return False

    @property
    def feels(self) -> bool:
        """Whether this node can feel an effect that begins or ends by itself."""
        return False

    @property
    def evidence_kind(self) -> str:
        """What `effective` of one evidence says, so that the judge knows how many it takes.

        `seen`: the effect has been seen, once is enough. `sum`: all that was measured so far is as asked; the
        last has measured longest. `level`: right now; most of them have to say so.
        """
        return "seen"

    def felt(self) -> bool:
        """Whether the effect is felt right now; asked densely, so it must not block."""
        raise NotImplementedError

    def undo(self) -> dict[str, Any]:
        """Return what `revert` needs, plain JSON, with a `trace` that names it; journalled before `apply`."""
        raise NotImplementedError

    def apply(self) -> None:
        """Do it; raises when it cannot."""
        raise NotImplementedError

    def observe(self) -> None:
        """Look once while the effect is to hold, and keep count; called four times a second."""

    def evidence(self) -> dict[str, Any]:
        """Return `present` (in place right now), `effective` (its effect has been seen), and figures."""
        raise NotImplementedError

    @staticmethod
    def revert(undo: dict[str, Any]) -> None:
        """Take one fault back; does nothing where there is nothing to take back. Raises when it cannot."""
        raise NotImplementedError

    @staticmethod
    def leftovers() -> list[dict[str, Any]]:
        """Return the undo record of every trace of this kind on the node, whoever made it."""
        return []

    def traces(self) -> list[str]:
        """What is left of this fault on this node."""
        own = self.undo()["trace"]
        return [undo["trace"] for undo in self.leftovers() if undo["trace"] == own]

    async def recovered(self) -> bool:
        """Whether the node is well again after the revert; runs in the agent's event loop."""
        return True


def fault_kinds() -> list[str]:
    """Every kind of fault there is a file for."""
    return sorted(
        info.name for info in pkgutil.iter_modules(faults.__path__) if not info.name.startswith("_")
    )


def fault_class(kind: str) -> type[Fault]:
    """Return the class of a kind of fault: `FAULT` of its file in `module_utils/faults`."""
    found: type[Fault] = importlib.import_module(f"{faults.__name__}.{kind}").FAULT
    return found
