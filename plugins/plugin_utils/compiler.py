# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The compiler: a scenario and a cluster in, the plan out. Pure: the same input gives the same bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import ClusterView
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import not_allowed
from ansible_collections.foundation.testbed.plugins.plugin_utils.fault_plan import compile_faults
from ansible_collections.foundation.testbed.plugins.plugin_utils.monitoring import (
    at_interval,
    monitor_program,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.promises import HEALTHY, planned_criterion
from ansible_collections.foundation.testbed.plugins.plugin_utils.scenario import Scenario
from ansible_collections.foundation.testbed.plugins.plugin_utils.seeds import sub_seed
from ansible_collections.foundation.testbed.plugins.plugin_utils.system_options import (
    role_variables,
    wrong_options,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import word
from ansible_collections.foundation.testbed.plugins.plugin_utils.workload import ClientGroup


def compile_plan(scenario_id: str, scenario: Scenario, cluster: ClusterView) -> dict[str, Any]:
    """Return the plan (docs/records.md); raises InputError, a line for each thing the cluster cannot give."""
    faults, wrong = compile_faults(scenario, cluster)
    problems = [*_misfits(scenario, cluster), *wrong]
    if problems:
        raise scenario.source(scenario_id).refused(problems)
    plan = {
        "format": 1,
        "scenario": {
            "name": scenario_id,
            "title": scenario.name,
            "description": scenario.description,
            "system": scenario.system,
            "options": scenario.options,
        },
        "seed": scenario.seed,
        "duration_s": scenario.duration,
        "sample_every_s": cluster.scrape_interval_s,
        "testbed_id": cluster.testbed_id,
        "role_variables": role_variables(scenario.options, cluster.options.get(scenario.system, {})),
        "topology": dict(cluster.topology),
        "nodes": [{"name": name, "address": address} for name, address in cluster.nodes.items()],
        "observers": [{"name": name, "address": address} for name, address in cluster.observers.items()],
        "faults": faults,
        "load": _load(scenario, cluster),
        "criteria": at_interval(
            (planned_criterion(name, given) for name, given in scenario.success_criteria.items()),
            "query",
            cluster.scrape_interval_s,
        ),
        "steady_state": at_interval(
            (state.planned() for state in scenario.steady_state), "promql", cluster.scrape_interval_s
        ),
        "recovery_wait_s": scenario.recovery_wait,
        "abort_conditions": [condition.planned() for condition in scenario.abort_conditions],
        "minimum_load": {
            "operations": _least_operations(scenario, cluster),
            "rate_share": scenario.workload.minimum_rate_share,
        },
    }
    endpoints = _running(scenario.system, cluster)
    monitor = monitor_program(plan, endpoints, cluster.series, cluster.max_rate, cluster.scrape_interval_s)
    return {**plan, "monitor": monitor}


def plan_text(plan: dict[str, Any]) -> str:
    """The plan as it is written to `plan.json`: a line for each key, and for each item of a list."""
    return "{\n" + ",\n".join(f' "{key}": {_value_text(plan[key])}' for key in sorted(plan)) + "\n}\n"


def _value_text(value: Any) -> str:
    if not isinstance(value, list) or not value:
        return json.dumps(value, sort_keys=True)
    return "[\n" + ",\n".join(f"  {json.dumps(item, sort_keys=True)}" for item in value) + "\n ]"


def node_programs(
    plan: dict[str, Any], run: str, start_wall_ns: int, systems: dict[str, list[str]]
) -> dict[str, Any]:
    """Return what each host is to be staged with: its own part of the plan, tied to the start instant."""
    common = {
        "run": run,
        "testbed_id": plan["testbed_id"],
        "start_wall_ns": start_wall_ns,
        "duration_s": plan["duration_s"],
        "sample_every_s": plan.get("sample_every_s", 1.0),  # a plan of an older version does not say it
    }
    programs = {}
    for host in [*plan["nodes"], *plan["observers"]]:
        name = host["name"]
        programs[name] = {
            **common,
            "node": name,
            "systems": _asked_first(plan["scenario"]["system"], systems.get(name, [])),
            "faults": faults_of(plan, name),
            # Keys of a run are its own: a cluster that stands still holds those of the run before.
            "load": [{**part, "namespace": f"{run}/"} for part in plan["load"] if part["observer"] == name],
        }
    if "monitor" in plan:  # a plan of an older version has none
        programs[plan["observers"][0]["name"]]["monitor"] = plan["monitor"]
    return programs


def _asked_first(system: str, systems: list[str]) -> list[str]:
    """Return a node's systems, that of the scenario first: it is the one that is sampled."""
    return sorted(systems, key=lambda name: name != system)


def faults_of(plan: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return one host's faults of a plan: what they share, and as `node` its own program."""
    own = ("nodes", "power", "targets", "params")
    return [
        {**{key: value for key, value in fault.items() if key not in own}, "node": fault["nodes"][name]}
        for fault in plan["faults"]
        if name in fault["nodes"]
    ]


def asked_of(plan: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return what a host is asked before a run whether it can: id, type and program of its faults."""
    return [
        {"id": fault["id"], "type": fault["type"], "node": programs[name]}
        for fault in plan["faults"]
        for programs in (fault["nodes"], fault.get("power", {}))
        if name in programs
    ]


def _misfits(scenario: Scenario, cluster: ClusterView) -> Iterator[str]:
    """Whatever the scenario asks for that this cluster does not have."""
    if scenario.node_count not in (None, len(cluster.nodes)):
        yield f"node_count: given {scenario.node_count}; allowed: {len(cluster.nodes)}, as the cluster has"
    if scenario.system not in cluster.workloads:
        yield f"system: {not_allowed(scenario.system, cluster.workloads)}"
    elif scenario.workload.type not in cluster.workloads[scenario.system]:
        yield f"workload.type: {not_allowed(scenario.workload.type, cluster.workloads[scenario.system])}"
    for name, wrong in wrong_options(scenario.options, cluster.options.get(scenario.system, {})):
        yield f"options.{word(name)}: {wrong}"
    states = [HEALTHY, *cluster.states.get(scenario.system, ())]
    for i, steady in enumerate(scenario.steady_state):
        if steady.state is not None and steady.state not in states:
            yield f"steady_state[{i}].state: {not_allowed(steady.state, states)}"
    runs_system = _running(scenario.system, cluster)
    for i, group in enumerate(scenario.workload.clients):
        if group.to not in ("each", "any") and group.to not in runs_system:
            yield f"workload.clients[{i}].to: {not_allowed(group.to, ['each', 'any', *runs_system])}"


def _running(system: str, cluster: ClusterView) -> dict[str, str]:
    return {
        name: address for name, address in cluster.nodes.items() if system in cluster.systems.get(name, [])
    }


def _load(scenario: Scenario, cluster: ClusterView) -> list[dict[str, Any]]:
    """One generator for each observer; the rate is split evenly."""
    workload = scenario.workload
    endpoints = _running(scenario.system, cluster)
    rate = min(workload.rate, cluster.max_rate)
    timeout_s = max(workload.operation_timeout, cluster.min_operation_timeout_s)
    clients = [client for group in workload.clients for client in _clients(group, endpoints)]
    return [
        {
            "observer": observer,
            "generator": f"{observer}-0",
            "system": scenario.system,
            "workload": workload.type,
            "seed": sub_seed(scenario.seed, f"{observer}-0"),
            "index": index,
            "generators": len(cluster.observers),
            "rate_per_s": rate / len(cluster.observers),
            "asked_rate_per_s": workload.rate / len(cluster.observers),
            "duration_s": scenario.duration,
            "operation_timeout_s": timeout_s,
            "asked_operation_timeout_s": workload.operation_timeout,
            "max_in_flight": workload.max_in_flight or enough_in_flight(rate, timeout_s),
            "keys": workload.keys,
            "operations_per_key": workload.operations_per_key,
            "mix": workload.shares,
            "final_read_timeout_s": workload.final_read_timeout,
            "clients": clients,
        }
        for index, observer in enumerate(cluster.observers)
    ]


def _least_operations(scenario: Scenario, cluster: ClusterView) -> int:
    """Return how many must be answered: as many as asked, or half of what the cluster's max_rate sends."""
    half = cluster.max_rate * scenario.duration / 2
    return max(1, int(min(scenario.workload.minimum_operations, half)))


def enough_in_flight(rate_per_s: float, timeout_s: float) -> int:
    """Return so many operations at once that a system which answers none does not slow the open loop."""
    return math.ceil(rate_per_s * (timeout_s + 1.0) * 1.25) + 16


def _clients(group: ClientGroup, endpoints: dict[str, str]) -> list[dict[str, Any]]:
    if group.to == "any":
        return [
            {
                "name": "failover",
                "pinned": False,
                "endpoints": endpoints,
                "weight": group.weight,
                "options": group.options,
            }
        ]
    nodes = endpoints if group.to == "each" else {group.to: endpoints[group.to]}
    return [
        {
            "name": name,
            "pinned": True,
            "endpoints": {name: address},
            "weight": group.weight,
            "options": group.options,
        }
        for name, address in nodes.items()
    ]
