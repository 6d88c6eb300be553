# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Conditions in the specification's own words (S3.1), put into the testbed's.

Each lasts to the end of the scenario less a time in which the system is left to recover, unless `for` says
otherwise: what still holds when the load ends leaves no recovery to judge.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import fault_id
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import (
    Parameter,
    choice,
    many,
    name,
    not_allowed,
    number,
    parse_duration,
    percentage,
    read_parameters,
    shown,
    whole,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import Mistakes, as_duration, word

# The time left to recover: so many seconds or this share of the scenario, whichever is more; at most half.
SETTLE_S, SETTLE_SHARE = 10.0, 0.2

Params = dict[str, Any]


def settling_begins_s(duration_s: float) -> float:
    """Return when the conditions of a scenario that lasts so long end by default, in seconds."""
    return duration_s - min(max(SETTLE_S, SETTLE_SHARE * duration_s), duration_s / 2)


def _milliseconds(value: object) -> float:
    """Seconds of a duration, or of a bare number of milliseconds, as the specification writes them."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(number(0.001, 3.6e6)(value)) / 1000.0
    return parse_duration(value)


def _from_zero(value: object) -> float:
    """Seconds as above; none at all as well."""
    none = re.fullmatch(r"\s*0+(\.0+)?\s*(ms|s|min|h)\s*", value) if isinstance(value, str) else value == 0
    return 0.0 if none and not isinstance(value, bool) else _milliseconds(value)


def _node_failure(params: Params) -> Params:
    """Every `interval` one more node fails, until `count` are down."""
    rest = {"max_down": params["max_down"]} if "max_down" in params else {}
    return {
        "type": "power", "action": "off", "nodes": {"random": 1}, "every": as_duration(params["interval"]),
        "count": params["count"], **rest,
    }  # fmt: skip


def _network_latency(params: Params) -> Params:
    middle, half = (params["min"] + params["max"]) / 2, (params["max"] - params["min"]) / 2
    jitter = {"jitter": as_duration(half), "distribution": "uniform"} if half > 0 else {}
    return {"type": "link", "delay": as_duration(middle), **jitter}


def _resource_exhaustion(params: Params) -> Params:
    return {"type": "pressure", "resource": params["type"], "target": params["target_percentage"]}


def _message_loss(params: Params) -> Params:
    rest: Params = {key: params[key] for key in ("peers", "ports") if key in params}
    return {"type": "link", "loss": params["percentage"], **rest}


_SHARED = {
    "id": Parameter(fault_id, "name in the report"),
    "at": Parameter(_from_zero, "begin, from the start instant"),
    "for": Parameter(_milliseconds, "length; until the system is left to recover by default"),
}
_SHARE = {"affected_percentage": Parameter(percentage, "share of the nodes")}
SPECIFICATION: Mapping[str, tuple[Mapping[str, Parameter], Callable[[Params], Params]]] = {
    "node_failure": (
        {
            "type": Parameter(choice("random"), "which nodes", "random"),
            "interval": Parameter(_milliseconds, "between two failures", required=True),
            "count": Parameter(whole(1, 100), "how many nodes", required=True),
            "max_down": Parameter(whole(0, 10000), "never more nodes down at once"),
            **_SHARED,
        },
        _node_failure,
    ),
    "network_latency": (
        {
            "min": Parameter(_from_zero, "least delay", required=True),
            "max": Parameter(_milliseconds, "greatest delay", required=True),
            **_SHARE,
            **_SHARED,
        },
        _network_latency,
    ),
    "resource_exhaustion": (
        {
            "type": Parameter(choice("memory", "cpu"), "which resource", required=True),
            "target_percentage": Parameter(percentage, "of the node's own limit", required=True),
            **_SHARE,
            **_SHARED,
        },
        _resource_exhaustion,
    ),
    "message_loss": (
        {
            "percentage": Parameter(percentage, "share of the packets", required=True),
            "peers": Parameter(many(name), "towards these peers only"),
            "ports": Parameter(many(whole(1, 65535)), "of these ports only"),
            **_SHARE,
            **_SHARED,
        },
        _message_loss,
    ),
}


def required(said: str) -> list[str]:
    """Return the parameters that a word cannot do without."""
    return [key for key, parameter in SPECIFICATION[said][0].items() if parameter.required]


def translated(entry: Any, duration_s: float) -> Any:
    """Return a condition written in the specification's words in the testbed's own.

    It is a mapping of one name to its parameters, `{network_latency: {min: 100, max: 1000,
    affected_percentage: 30}}`, bare numbers of time being milliseconds. Anything else is returned as it is.
    Raises ValueError.
    """
    if not isinstance(entry, Mapping) or len(entry) != 1:
        return entry
    ((said, given),) = entry.items()
    if said not in SPECIFICATION:
        if isinstance(said, str) and isinstance(given, Mapping):
            raise ValueError(
                f"{word(said)}: {not_allowed(said, SPECIFICATION)}; or a condition with its type"
            )
        return entry
    parameters, translate = SPECIFICATION[said]
    if not isinstance(given, Mapping):
        raise ValueError(f"{said}: given {shown(given)}; allowed: a mapping with {', '.join(parameters)}")
    unknown = [
        f"{word(key)}: unknown key; {not_allowed(key, parameters)}" for key in given if key not in parameters
    ]
    params, wrong = read_parameters(parameters, {key: given[key] for key in given if key in parameters})
    problems = [*unknown, *(wrong or _problems(said, given, params, duration_s))]
    if problems:
        raise Mistakes([f"{said}.{problem}" for problem in problems])
    shared = {key: params[key] for key in ("id", "affected_percentage") if key in params}
    return {**shared, **_times(params, duration_s), **translate(params)}


def _begin_s(params: Params) -> float:
    """Return when it begins; the first failure of nodes comes after one interval."""
    begin_s: float = params["at"] if "at" in params else params.get("interval", 0.0)
    return begin_s


def _times(params: Params, duration_s: float) -> dict[str, str]:
    at_s, end_s = _begin_s(params), settling_begins_s(duration_s)
    times = {"at": as_duration(at_s), "for": as_duration(params.get("for", end_s - at_s))}
    return times if "for" in params or "count" not in params else {**times, "end": as_duration(end_s)}


def _problems(said: str, given: Mapping[str, Any], params: Params, duration_s: float) -> list[str]:
    """Say what is wrong between parameters that are right one by one."""
    if said == "network_latency" and params["min"] > params["max"]:
        return [f"min: given {shown(given['min'])}; allowed: at most max, {shown(given['max'])}"]
    end_s = settling_begins_s(duration_s)
    before = f"allowed: before {as_duration(end_s)}, when the system is left to recover"
    if "for" in params:
        return []
    if _begin_s(params) >= end_s:
        key = "at" if "at" in params else "interval"
        return [f"{key}: given {shown(given[key])}; {before}"]
    last_s = _begin_s(params) + (params.get("count", 1) - 1) * params.get("interval", 0.0)
    if last_s >= end_s:
        return [f"count: given {params['count']}, the last one at {as_duration(last_s)}; {before}"]
    return []
