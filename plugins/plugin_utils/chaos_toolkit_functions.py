# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The functions of Chaos Toolkit's drivers that have a counterpart: of Kubernetes, of EC2, of Toxiproxy."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils.chaos_toolkit_words import (
    Activity,
    Begin,
    End,
    Params,
    Surroundings,
    Unmapped,
)


def called(provider: Mapping[str, Any], around: Surroundings) -> Activity:
    """Return what an action of type python does; raises Unmapped."""
    said = f"{provider.get('module')}.{provider.get('func')}"
    if said not in PYTHON:
        raise Unmapped("provider.func", f"{said} has no counterpart")
    return PYTHON[said](_arguments(provider), around)


def _arguments(provider: Mapping[str, Any]) -> Params:
    given = provider.get("arguments") or {}
    if not isinstance(given, Mapping):
        raise Unmapped("provider.arguments", f"{given!r} is no mapping")
    return {str(key): value for key, value in given.items()}


def _known(arguments: Params, *known: str) -> None:
    for key in arguments:
        if key not in known:
            raise Unmapped(f"provider.arguments.{key}", "it has no counterpart")


def _number(arguments: Params, key: str, default: float | None = None) -> float:
    value = arguments.get(key, default)
    if isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?", value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e9:
        raise Unmapped(f"provider.arguments.{key}", f"{value!r} is not a number")
    return value


def _ms(value: float) -> str:
    return f"{value:g}ms"


def _some_pods(arguments: Params, around: Surroundings, quantity: str) -> Any:
    """Return the nodes that a selection of pods or nodes of Kubernetes stands for."""
    candidates = list(around.nodes)
    if arguments.get("name_pattern") is not None:
        pattern = str(arguments["name_pattern"])
        candidates = [name for name in candidates if re.search(pattern, name)]
        if not candidates:
            raise Unmapped("provider.arguments.name_pattern", f"{pattern!r} matches no node of the cluster")
    wanted = _number(arguments, quantity, 1)
    if arguments.get("mode") == "percentage":
        wanted = math.ceil(wanted * len(candidates) / 100)
    if arguments.get("all") or wanted >= len(candidates):
        return candidates
    if wanted < 1:
        raise Unmapped(f"provider.arguments.{quantity}", "it chooses no node")
    if arguments.get("rand") and len(candidates) == len(around.nodes):
        return {"random": int(wanted)}
    if arguments.get("rand"):
        raise Unmapped("provider.arguments.rand", "only among all nodes can some be drawn")
    return candidates[: int(wanted)]


def _terminate_pods(arguments: Params, around: Surroundings) -> Activity:
    """A pod dies and its controller brings it back: so do the system's processes, by their supervision."""
    known = ("label_selector", "name_pattern", "all", "rand", "mode", "qty", "grace_period", "ns", "order")
    _known(arguments, *known)
    if arguments.get("order", "alphabetic") != "alphabetic":
        raise Unmapped("provider.arguments.order", f"{arguments['order']!r} has no counterpart")
    action = "kill" if arguments.get("grace_period") == 0 else "terminate"
    nodes = _some_pods(arguments, around, "qty")
    return Begin({"type": "process", "action": action, "nodes": nodes}, "pods")


def _delete_nodes(arguments: Params, around: Surroundings) -> Activity:
    _known(arguments, "label_selector", "name", "all", "rand", "count", "grace_period_seconds")
    nodes = _some_pods({**arguments, "name_pattern": arguments.get("name")}, around, "count")
    return Begin({"type": "power", "action": "off", "nodes": nodes}, "nodes")


def _instances(arguments: Params, around: Surroundings) -> list[str]:
    said = arguments.get("instance_ids", arguments.get("instance_id"))
    key = "instance_ids" if "instance_ids" in arguments else "instance_id"
    if not said:
        raise Unmapped("provider.arguments", "no instance is named")
    return [
        around.node(one, f"provider.arguments.{key}") for one in (said if isinstance(said, list) else [said])
    ]


def _power(action: str) -> Callable[[Params, Surroundings], Activity]:
    def begin(arguments: Params, around: Surroundings) -> Activity:
        _known(arguments, "instance_id", "instance_ids", "force")
        nodes = _instances(arguments, around)
        return Begin({"type": "power", "action": action, "nodes": nodes}, f"power {' '.join(nodes)}")

    return begin


def _start_instances(arguments: Params, around: Surroundings) -> Activity:
    _known(arguments, "instance_id", "instance_ids")
    return End(f"power {' '.join(_instances(arguments, around))}")


def _create_proxy(arguments: Params, around: Surroundings) -> Activity:
    """The proxy itself is not needed; what is behind it is."""
    node = around.node(arguments.get("upstream_host"), "provider.arguments.upstream_host")
    around.proxies[str(arguments.get("proxy_name"))] = node
    return None


def _toxic(arguments: Params, around: Surroundings) -> Activity:
    """A toxic downstream is on what the node sends to its clients."""
    _known(arguments, "for_proxy", "toxic_name", "toxic_type", "stream", "toxicity", "attributes")
    if arguments.get("stream", "downstream") != "downstream":
        raise Unmapped("provider.arguments.stream", "only what a node sends can be impaired")
    if arguments.get("toxicity", 1) != 1:
        raise Unmapped("provider.arguments.toxicity", "a link is impaired for all connections or none")
    proxy = str(arguments.get("for_proxy"))
    if proxy not in around.proxies:
        around.proxies[proxy] = around.node(proxy, "provider.arguments.for_proxy")
    attributes = dict(arguments.get("attributes") or {})
    kind = arguments.get("toxic_type")
    if kind == "latency":
        link: Params = {"delay": _ms(_number(attributes, "latency"))}
        if jitter := _number(attributes, "jitter", 0):
            link["jitter"] = _ms(jitter)
    elif kind == "bandwidth":
        link = {"rate": f"{_number(attributes, 'rate') * 8:g}kbit"}
    else:
        raise Unmapped("provider.arguments.toxic_type", f"{kind!r} has no counterpart")
    where: Params = {"nodes": [around.proxies[proxy]], "peers": list(around.observers)}
    return Begin({"type": "link", **where, **link}, f"toxic {proxy} {arguments.get('toxic_name')}")


def _named_toxic(kind: str, *attributes: str) -> Callable[[Params, Surroundings], Activity]:
    def begin(arguments: Params, around: Surroundings) -> Activity:
        _known(arguments, "for_proxy", "toxic_name", *attributes)
        given = {key: arguments[key] for key in attributes if key in arguments}
        rest = {key: value for key, value in arguments.items() if key not in attributes}
        return _toxic({**rest, "toxic_type": kind, "attributes": given}, around)

    return begin


def _delete_toxic(arguments: Params, around: Surroundings) -> Activity:
    return End(f"toxic {arguments.get('for_proxy')} {arguments.get('toxic_name')}")


def _delete_proxy(arguments: Params, around: Surroundings) -> Activity:
    return End(f"toxic {arguments.get('proxy_name')}")


PYTHON: dict[str, Callable[[Params, Surroundings], Activity]] = {
    "chaosk8s.pod.actions.terminate_pods": _terminate_pods,
    "chaosk8s.node.actions.delete_nodes": _delete_nodes,
    "chaosaws.ec2.actions.stop_instance": _power("off"),
    "chaosaws.ec2.actions.stop_instances": _power("off"),
    "chaosaws.ec2.actions.restart_instances": _power("reboot"),
    "chaosaws.ec2.actions.start_instances": _start_instances,
    "chaostoxi.proxy.actions.create_proxy": _create_proxy,
    "chaostoxi.proxy.actions.delete_proxy": _delete_proxy,
    "chaostoxi.toxic.actions.create_toxic": _toxic,
    "chaostoxi.toxic.actions.create_latency_toxic": _named_toxic("latency", "latency", "jitter"),
    "chaostoxi.toxic.actions.create_bandwith_degradation_toxic": _named_toxic("bandwidth", "rate"),
    "chaostoxi.toxic.actions.delete_toxic": _delete_toxic,
}
