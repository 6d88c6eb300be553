# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan's faults: every condition of a scenario, repeated as it says, on the nodes that it chose. Pure."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import ClusterView, Targets
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import not_allowed
from ansible_collections.foundation.testbed.plugins.plugin_utils.conditions import Condition, StateCondition
from ansible_collections.foundation.testbed.plugins.plugin_utils.scenario import Scenario
from ansible_collections.foundation.testbed.plugins.plugin_utils.schedule import Span, own_id, spans
from ansible_collections.foundation.testbed.plugins.plugin_utils.seeds import sub_seed
from ansible_collections.foundation.testbed.plugins.plugin_utils.selection import choose
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import joined, told

Entry = dict[str, Any]
# Seconds after its end in which a node that was down still boots, and counts as down.
BOOT_S = 5.0


def compile_faults(scenario: Scenario, cluster: ClusterView) -> tuple[list[Entry], list[str]]:
    """Return the faults of the plan, and a line for each thing that the cluster cannot give."""
    faults: list[Entry] = []
    problems: list[str] = []
    first: dict[str, int] = {}
    for i, times in enumerate(spans(scenario.conditions, scenario.seed)):
        try:
            found = _repeated(i, times, scenario, cluster, faults)
            _once(i, found, first)
        except ValueError as error:
            problems += [joined(f"conditions[{i}]", problem) for problem in told(error)]
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


def _repeated(
    place: int, times: Sequence[Span], scenario: Scenario, cluster: ClusterView, earlier: Sequence[Entry]
) -> list[Entry]:
    """Return one fault for each repetition of a condition; raises ValueError."""
    condition = scenario.conditions[place]
    name = own_id(place, condition)
    found: list[Entry] = []
    for repeat, span_s in enumerate(times, 1):
        fault_id = name if condition.count is None else f"{name}-{repeat}"
        draw = random.Random(sub_seed(scenario.seed, f"fault/{fault_id}"))
        beside = _down_between([*earlier, *found], span_s[0], span_s[1] + BOOT_S)
        found.append(_fault(fault_id, span_s, condition, scenario.system, cluster, draw, beside))
    return found


def _fault(
    fault_id: str,
    span_s: Span,
    condition: Condition,
    system: str,
    cluster: ClusterView,
    draw: random.Random,
    beside: Sequence[Entry],
) -> Entry:
    """Return one fault; `beside` are those that have nodes down at some time within its span."""
    states = dict(_states(condition, system, cluster))
    takes_down = condition.kind.takes_down(condition.params)
    down = {name for fault in beside for name in fault["targets"]}
    chosen = _chosen(condition, system, cluster, draw, down if takes_down else set())
    conditional = bool(states)
    programs = condition.kind.plan(condition.params, Targets(chosen, cluster, draw, conditional))
    if takes_down:
        allowed = cluster.max_down if condition.max_down is None else condition.max_down
        at_most(allowed, _most_down(beside, span_s[0], _taken(condition, chosen)), "nodes")
    return {
        "id": fault_id,
        "type": condition.type,
        "start_s": _plain(span_s[0]),
        "end_s": _plain(span_s[1]),
        "for_s": _plain(span_s[1] - span_s[0] - (condition.within or 0.0)),
        "targets": [name for name in cluster.nodes if name in programs],
        "params": condition.params,
        "takes_down": takes_down,
        "nodes": programs if condition.kind.on_node else {},
        **({} if condition.kind.on_node else {"power": programs}),
        **states,
    }


def _plain(seconds: float) -> float:
    """Return whole seconds as whole numbers: plans are read by people."""
    rounded = round(seconds, 6)
    return int(rounded) if rounded == int(rounded) else rounded


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
        return choose(condition.targets, replace(cluster, nodes=up), draw)
    return choose(condition.targets, cluster, draw)


def _taken(condition: Condition, chosen: Sequence[str]) -> Sequence[str]:
    """Return the nodes that go down; of those in a state, as many as can be in it."""
    if condition.nodes == "leader":
        return ["the leader"]
    return chosen[1:] if condition.nodes == "followers" else chosen


def _down_between(faults: Sequence[Entry], start_s: float, end_s: float) -> list[Entry]:
    """Faults that have nodes down, or still booting, at some time within a span."""
    down = (fault for fault in faults if fault["takes_down"])
    return [fault for fault in down if fault["start_s"] < end_s and start_s < fault["end_s"] + BOOT_S]


def _most_down(beside: Sequence[Entry], start_s: float, chosen: Sequence[str]) -> set[str]:
    """Return the nodes that are down at once with the chosen ones, at the instant when they are most."""
    instants = [start_s, *(fault["start_s"] for fault in beside if fault["start_s"] > start_s)]
    return max((_down_at(beside, at_s) | set(chosen) for at_s in instants), key=len)


def _down_at(faults: Sequence[Entry], at_s: float) -> set[str]:
    there = (fault for fault in faults if fault["start_s"] <= at_s < fault["end_s"] + BOOT_S)
    return {name for fault in there for name in fault["targets"]}


def at_most(allowed: int, down: Collection[str], key: str) -> None:
    """Raise ValueError where more nodes would be down at once than allowed."""
    if len(down) > allowed:
        raise ValueError(
            f"{key}: given {len(down)} nodes down at once ({', '.join(sorted(down))}); "
            f"allowed: max_down, {allowed}"
        )
