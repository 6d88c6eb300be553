# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A saved plan that is to run again as it is: whether it is a plan, and whether it is one of this cluster."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import ClusterView
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import not_allowed, shown
from ansible_collections.foundation.testbed.plugins.plugin_utils.plan_structure import Plan
from ansible_collections.foundation.testbed.plugins.plugin_utils.system_options import (
    role_variables,
    wrong_options,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import (
    InputError,
    Source,
    key_text,
    parse_model,
    word,
)

_HERE = "as in the inventory"


def load_plan(path: Path, cluster: ClusterView) -> tuple[dict[str, Any], str]:
    """Return a saved plan and its text as it is; raises InputError, a line for each mistake."""
    data, text = _read(path)
    source = Source(path.name)
    plan = parse_model(Plan, data, source)
    problems = [*_other_cluster(data, cluster)] or [*_within(plan, cluster), *_addresses(data, cluster)]
    if problems:
        raise source.refused(problems)
    return data, text


def _read(path: Path) -> tuple[Any, str]:
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text, parse_constant=_no_number, object_pairs_hook=_once), text
    except OSError as error:
        raise InputError([f"{path.name}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise InputError([f"{path.name}: is not UTF-8 text"]) from error
    except json.JSONDecodeError as error:
        raise InputError([f"{path.name}:{error.lineno}: is not valid JSON: {error.msg}"]) from error
    except (ValueError, RecursionError) as error:
        raise InputError([f"{path.name}: is not valid JSON: {' '.join(str(error).split())}"]) from error


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"given {word}; allowed: finite numbers")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _value in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"given {shown(twice)} twice in one object; allowed: every key once")
    return found


def _other_cluster(plan: Mapping[str, Any], cluster: ClusterView) -> Iterator[str]:
    """Say in what the cluster of the inventory is not the one that the plan was compiled for."""
    if plan["testbed_id"] != cluster.testbed_id:
        yield f"testbed_id: given {shown(plan['testbed_id'])}; allowed: {cluster.testbed_id}, {_HERE}"
    for key, here in (("nodes", cluster.nodes), ("observers", cluster.observers)):
        there = {host["name"]: host["address"] for host in plan[key]}
        for i, (name, address) in enumerate(there.items()):
            if name not in here:
                yield f"{key}[{i}].name: {not_allowed(name, here)}, {_HERE}"
            elif here[name] != address:
                yield f"{key}[{i}].address: given {shown(address)} of {name}; allowed: {here[name]}, {_HERE}"
        for name in here:
            if name not in there:
                yield f"{key}: {name} is missing; allowed: {', '.join(here)}, {_HERE}"
        if len(there) != len(plan[key]):
            yield f"{key}: given a name twice; allowed: every host once"


def _within(plan: Plan, cluster: ClusterView) -> Iterator[str]:
    """Say what the plan asks for that this cluster has not."""
    hosts, system = [*cluster.nodes, *cluster.observers], plan.scenario.system
    ids = [fault.id for fault in plan.faults]
    if system not in cluster.workloads:
        yield f"scenario.system: {not_allowed(system, cluster.workloads)}"
    options = cluster.options.get(system, {})
    for name, wrong in wrong_options(plan.scenario.options, options):
        yield f"scenario.options.{word(name)}: {wrong}"
    if plan.role_variables != (here := role_variables(plan.scenario.options, options)):
        yield f"role_variables: given {shown(plan.role_variables)}; allowed: {here}, as its options say"
    for i, fault in enumerate(plan.faults):
        if fault.end_s > plan.duration_s:
            yield f"faults[{i}].end_s: given {fault.end_s:g}; allowed: at most {plan.duration_s:g}"
        if ids.count(fault.id) > 1:
            yield f"faults[{i}].id: given {fault.id!r} {ids.count(fault.id)} times; allowed: every id once"
        for key, names in (("targets", fault.targets), ("nodes", fault.nodes), ("power", fault.power)):
            yield from _unknown(f"faults[{i}].{key}", names, hosts)
        for key in ("when", "where", "until"):
            yield from _state(f"faults[{i}].{key}", getattr(fault, key), cluster)
    for i, part in enumerate(plan.load):
        yield from _unknown(f"load[{i}].observer", [part.observer], cluster.observers)
        if part.system != system or part.workload not in cluster.workloads.get(system, ()):
            yield f"load[{i}]: given {shown(part.workload)} of {shown(part.system)}; allowed: as compiled"
        for j, client in enumerate(part.clients):
            yield from _unknown(f"load[{i}].clients[{j}].endpoints", client.endpoints, cluster.nodes)


def _unknown(key: str, names: Iterable[str], known: Iterable[str]) -> Iterator[str]:
    for name in names:
        if name not in known:
            yield f"{key}: {not_allowed(name, known)}"


def _state(key: str, state: Mapping[str, Any] | None, cluster: ClusterView) -> Iterator[str]:
    if state is None:
        return
    states = cluster.states.get(str(state.get("system")), ())
    if state.get("state") not in states:
        yield f"{key}.state: {not_allowed(state.get('state'), states)}"
    if not {"is", "above", "below", "changed"} & set(state):
        yield f"{key}: given nothing; allowed: one of is, above, below, changed"
    if key.endswith("when") and not isinstance(state.get("within_s"), (int, float)):
        yield f"{key}.within_s: given {shown(state.get('within_s'))}; allowed: a number of seconds"


def _addresses(data: Any, cluster: ClusterView, path: tuple[Any, ...] = ()) -> Iterator[str]:
    """Say where a host has another address than in the inventory, or the controller would be cut off."""
    known = {**cluster.nodes, **cluster.observers}
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        here = (*path, key)
        if isinstance(value, str) and path[:1] == ("faults",) and value in cluster.management:
            yield f"{key_text(here)}: given {value}, whence the controller reaches the nodes; allowed: others"
        elif isinstance(value, str) and key in known and value != known[key]:
            yield f"{key_text(here)}: given {shown(value)}; allowed: {known[key]}, {_HERE}"
        else:
            yield from _addresses(value, cluster, here)
