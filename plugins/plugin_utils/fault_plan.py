# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan's faults: every condition of a scenario, repeated as it says, on the nodes that it chose. Pure."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import ClusterView, Targets
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import not_allowed
from ansible_collections.foundation.testbed.plugins.plugin_utils.conditions import Condition, StateCondition
from ansible_collections.foundation.testbed.plugins.plugin_utils.scenario import Scenario
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import joined

Entry = dict[str, Any]


def compile_faults(scenario: Scenario, cluster: ClusterView) -> tuple[list[Entry], list[str]]:
    """Return the faults of the plan, and a line for each thing that the cluster cannot give."""
    faults: list[Entry] = []
    problems: list[str] = []
    first: dict[str, int] = {}
    for i, condition in enumerate(scenario.conditions):
        try:
            found = _repeated(i + 1, condition, scenario, cluster, faults)
            _once(i, found, first)
        except ValueError as error:
            problems.append(joined(f"conditions[{i}]", str(error)))
        else:
            faults += found
    return faults, problems


def _once(number: int, found: Sequence[Entry], first: dict[str, int]) -> None:
    """Raise ValueError where a fault bears a name that another condition gave, also by a repetition."""
    for fault in found:
        other = first.setdefault(fault["id"], number)
        if other != number:
            raise ValueError(
                f"id: given {fault['id']!r} a second time, first by conditions[{other}]; "
                "allowed: every id once, also with the -1, -2, ... of repetitions"
            )


def sub_seed(seed: int, purpose: str) -> int:
    """Return a seed of its own for each purpose, so that one more draw here moves nothing there."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:6], "big")


def _repeated(
    number: int, condition: Condition, scenario: Scenario, cluster: ClusterView, earlier: Sequence[Entry]
) -> list[Entry]:
    """Return one fault for each repetition of a condition; raises ValueError."""
    own_id = condition.id or f"{condition.type}-{number}"
    found: list[Entry] = []
    for repeat in range(condition.count or 1):
        fault_id = own_id if condition.count is None else f"{own_id}-{repeat + 1}"
        start_s = condition.at + repeat * (condition.every or 0.0)
        draw = random.Random(sub_seed(scenario.seed, f"fault/{fault_id}"))
        down = _down([*earlier, *found], start_s, start_s + (condition.within or 0.0) + condition.for_)
        found.append(_fault(fault_id, start_s, condition, scenario.system, cluster, draw, down))
    return found


def _fault(
    fault_id: str,
    start_s: float,
    condition: Condition,
    system: str,
    cluster: ClusterView,
    draw: random.Random,
    down: set[str],
) -> Entry:
    states = dict(_states(condition, system, cluster))
    takes_down = condition.kind.takes_down(condition.params)
    chosen = _chosen(condition, system, cluster, draw, down if takes_down else set())
    if takes_down:
        _at_most(condition, cluster, down | set(chosen), one_at_most="where" in states)
    conditional = "when" in states or "where" in states
    programs = condition.kind.plan(condition.params, Targets(chosen, cluster, draw, conditional))
    end_s = start_s + (condition.within or 0.0) + condition.for_
    return {
        "id": fault_id,
        "type": condition.type,
        "start_s": _plain(start_s),
        "end_s": _plain(end_s),
        "for_s": _plain(condition.for_),
        "targets": [name for name in cluster.nodes if name in programs],
        "params": condition.params,
        "takes_down": takes_down,
        "nodes": programs if condition.kind.on_node else {},
        **({} if condition.kind.on_node else {"power": programs}),
        **states,
    }


def _plain(seconds: float) -> float:
    """Return whole seconds as whole numbers: plans are read by people."""
    return int(seconds) if seconds == int(seconds) else round(seconds, 6)


def _states(condition: Condition, system: str, cluster: ClusterView) -> Iterator[tuple[str, Entry]]:
    """The states of the system that begin and end the fault, and that say which nodes it is about."""
    allowed = cluster.states.get(system, ())
    if condition.nodes in ("leader", "followers"):
        if "leader" not in allowed:
            raise ValueError(
                f"nodes: given {condition.nodes!r}; allowed: names, as {system} has no such state"
            )
        yield "where", {"state": "leader", "is": condition.nodes == "leader", "system": system}
    given: dict[str, StateCondition | None] = {"when": condition.when, "until": condition.until}
    for key, state in given.items():
        if state is None:
            continue
        if state.state not in allowed:
            raise ValueError(f"{key}.state: {not_allowed(state.state, allowed)}")
        if not condition.kind.on_node:
            raise ValueError(
                f"{key}: given for {condition.type}; allowed: at and for, as no node asks itself"
            )
        extra = {"within_s": condition.within} if key == "when" else {}
        yield key, {**state.model_dump(by_alias=True, exclude_none=True), "system": system, **extra}


def _chosen(
    condition: Condition, system: str, cluster: ClusterView, draw: random.Random, down: set[str]
) -> list[str]:
    """Return the nodes a fault is about; one that takes nodes down does not draw those that are down."""
    if condition.nodes in ("leader", "followers"):
        return [name for name in cluster.nodes if system in cluster.systems.get(name, ())]
    if down and not isinstance(condition.nodes, list):
        up = {name: address for name, address in cluster.nodes.items() if name not in down}
        return condition.chosen(ClusterView(**{**vars(cluster), "nodes": up}), draw)
    return condition.chosen(cluster, draw)


def _down(faults: Sequence[Entry], start_s: float, end_s: float) -> set[str]:
    """Names of the nodes that faults take down at some time within a window."""
    overlapping = (fault for fault in faults if fault["start_s"] < end_s and start_s < fault["end_s"])
    return {name for fault in overlapping if fault["takes_down"] for name in fault["targets"]}


def _at_most(condition: Condition, cluster: ClusterView, down: set[str], one_at_most: bool) -> None:
    """Raise ValueError where more nodes would be down at once than allowed."""
    allowed = cluster.max_down if condition.max_down is None else condition.max_down
    count = 1 if one_at_most else len(down)
    if count > allowed:
        names = "" if one_at_most else f" ({', '.join(sorted(down))})"
        raise ValueError(f"nodes: given {count} nodes down at once{names}; allowed: max_down, {allowed}")
