# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What single activities of a Chaos Toolkit experiment are in the testbed's words.

Only what means the same is mapped: the same effect on the same nodes. Everything else raises `Unmapped`.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import parse_duration

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


def activity(provider: Mapping[str, Any], around: Surroundings) -> Activity:
    """Return what an action does; None where nothing has to be done. Raises Unmapped."""
    kind = provider.get("type")
    if kind == "python":
        said = f"{provider.get('module')}.{provider.get('func')}"
        if said not in PYTHON:
            raise Unmapped("provider.func", f"{said} has no counterpart")
        return PYTHON[said](_arguments(provider), around)
    if kind == "process":
        return _process(provider, around)
    raise Unmapped("provider.type", f"an action of type {kind!r} has no counterpart")


def _arguments(provider: Mapping[str, Any]) -> Params:
    given = provider.get("arguments") or {}
    if not isinstance(given, Mapping):
        raise Unmapped("provider.arguments", f"{given!r} is no mapping")
    return {str(key): value for key, value in given.items()}


def healthy_probe(provider: Mapping[str, Any], tolerance: object, around: Surroundings) -> None:
    """Accept a probe that asks whether the system is healthy, which is asked anyway; else raise Unmapped."""
    kind = provider.get("type")
    if kind == "http":
        host = urlsplit(str(provider.get("url"))).hostname
        around.node(host, "provider.url")
        if tolerance not in (None, 200):
            raise Unmapped("tolerance", f"{tolerance!r} is not the status 200, or none")
        return
    said = f"{provider.get('module')}.{provider.get('func')}"
    if kind != "python" or said not in HEALTHY:
        raise Unmapped(
            "provider.func" if kind == "python" else "provider.type", "only its own tool can ask it"
        )
    if tolerance not in (None, True):
        raise Unmapped("tolerance", f"{tolerance!r} is not true")


HEALTHY = (
    "chaosk8s.probes.all_microservices_healthy",
    "chaosk8s.probes.microservice_available_and_healthy",
    "chaosk8s.deployment.probes.deployment_available_and_healthy",
    "chaosk8s.statefulset.probes.statefulset_fully_available",
)


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


def _process(provider: Mapping[str, Any], around: Surroundings) -> Activity:
    words = _words(provider)
    nodes = around.command_nodes
    if words[0].rsplit("/", 1)[-1] == "ssh":
        host, words = _behind_ssh(words)
        nodes = [around.node(host, "provider.arguments")]
    if words and words[0] == "sudo":
        words = words[1:]
    program = words[0].rsplit("/", 1)[-1] if words else ""
    if program not in COMMANDS:
        raise Unmapped("provider.path", f"the command {program!r} has no counterpart")
    if not nodes:
        why = (
            f"{program} acts on the machine that runs it; name the nodes it is meant for in experiment_nodes"
        )
        raise Unmapped("provider.path", why)
    return COMMANDS[program](words[1:], list(nodes), around)


def _words(provider: Mapping[str, Any]) -> list[str]:
    """Return the command as a list of words; the toolkit takes its arguments as text, list or mapping."""
    given = provider.get("arguments") or []
    if isinstance(given, str):
        given = shlex.split(given)
    elif isinstance(given, Mapping):
        given = [word for pair in given.items() for word in pair if word not in (None, "")]
    words = [str(word) for word in [provider.get("path"), *given]]
    if not provider.get("path"):
        raise Unmapped("provider.path", "no program is named")
    return words


def _behind_ssh(words: list[str]) -> tuple[str, list[str]]:
    rest = words[1:]
    while rest and rest[0].startswith("-"):
        rest = rest[2:] if rest[0] in ("-i", "-l", "-o", "-p", "-F") else rest[1:]
    if not rest:
        raise Unmapped("provider.arguments", "ssh without a host")
    return rest[0].rsplit("@", 1)[-1], shlex.split(" ".join(rest[1:]))


def _cannot(words: list[str]) -> Unmapped:
    return Unmapped("provider.arguments", f"{' '.join(words)!r} has no counterpart")


def _options(words: list[str], names: Mapping[str, str]) -> Params:
    """Return options that take one value each, by their own names; raises Unmapped for any other word."""
    found: Params = {}
    rest = [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]
    while rest:
        if len(rest) < 2 or rest[0] not in names:
            raise _cannot(words)
        found[names[rest[0]]] = rest[1]
        rest = rest[2:]
    return found


def _tc(words: list[str], nodes: list[str], around: Surroundings) -> Activity:
    """`tc qdisc add dev eth0 root netem …` is on all that the node sends, to clients as well."""
    undo = f"tc {' '.join(nodes)}"
    if words[:2] == ["qdisc", "del"] and "root" in words:
        return End(undo)
    if words[:2] != ["qdisc", "add"] or words[4:6] != ["root", "netem"]:
        raise _cannot(words)
    rest, link = words[6:], Params()
    while rest:
        key, rest = rest[0], rest[1:]
        if (
            key not in ("delay", "loss", "duplicate", "corrupt", "reorder", "rate", "distribution")
            or not rest
        ):
            raise _cannot(words)
        value, rest = rest[0], rest[1:]
        link[key] = float(value[:-1]) if value.endswith("%") else value
        if key == "delay" and rest and re.fullmatch(r"[\d.]+(us|ms|s)", rest[0]):
            link["jitter"], rest = rest[0], rest[1:]
    # As netem does by itself.
    if "jitter" in link:
        link.setdefault("distribution", "uniform")
    peers = [name for name in around.nodes if name not in nodes] + around.observers
    where: Params = {"nodes": nodes, **({"peers": peers} if len(nodes) == 1 else {})}
    return Begin({"type": "link", **where, **link}, undo)


def _iptables(words: list[str], nodes: list[str], around: Surroundings) -> Activity:
    undo = f"iptables {' '.join(nodes)}"
    if words in (["-F"], ["-F", "INPUT"], ["-F", "OUTPUT"]):
        return End(undo)
    names = {"-s": "s", "--source": "s", "-d": "d", "--destination": "d", "-p": "p", "--protocol": "p",
             "--dport": "port", "--sport": "port", "-j": "j", "--jump": "j"}  # fmt: skip
    if len(words) < 2 or words[0] not in ("-A", "-I", "-D") or words[1] not in ("INPUT", "OUTPUT"):
        raise _cannot(words)
    rule = _options(words[2:], names)
    side = "s" if words[1] == "INPUT" else "d"
    if rule.get("j") not in ("DROP", "REJECT") or side not in rule or {"s", "d"} <= set(rule):
        raise _cannot(words)
    peer = around.node(str(rule[side]).removesuffix("/32"), "provider.arguments")
    undo = f"{undo} {words[1]} {peer} {rule.get('port')}"
    if words[0] == "-D":
        return End(undo)
    groups = {"from": [peer], "to": nodes} if side == "s" else {"from": nodes, "to": [peer]}
    match: Params = {"protocol": rule["p"]} if "p" in rule else {}
    if "port" in rule:
        match["ports"] = [int(rule["port"])]
    return Begin({"type": "partition", "shape": "one_way", "groups": groups, **match}, undo)


def _stress(words: list[str], nodes: list[str], around: Surroundings) -> Activity:
    names = {"--cpu": "cpu", "-c": "cpu", "--cpu-load": "load", "--vm": "vm", "-m": "vm",
             "--vm-bytes": "bytes", "--timeout": "timeout", "-t": "timeout"}  # fmt: skip
    said = _options(words, names)
    seconds = str(said.get("timeout", ""))
    try:
        lasts_s = parse_duration(seconds + "s" if seconds.isdecimal() else seconds.replace("m", " min"))
    except ValueError:
        raise Unmapped("provider.arguments", "a --timeout in seconds or minutes is needed") from None
    pressure: Params = {"type": "pressure", "nodes": nodes}
    if "cpu" in said and "vm" not in said:
        pressure |= {"resource": "cpu", "target": float(said.get("load", 100))}
    elif "vm" in said and "cpu" not in said and str(said.get("bytes", "")).endswith("%"):
        pressure |= {"resource": "memory", "target": float(said["bytes"][:-1])}
    else:
        raise _cannot(words)
    return Begin(pressure, f"stress {' '.join(nodes)}", lasts_s)


def _kill(words: list[str], nodes: list[str], around: Surroundings) -> Activity:
    """`pkill` and `killall`, by name; a number of a process says nothing about another machine."""
    full = "-f" in words
    signals = [word for word in words if word.startswith("-") and word != "-f"]
    names = [word for word in words if not word.startswith("-")]
    if len(names) != 1 or len(signals) > 1 or names[0].isdecimal():
        raise _cannot(words)
    signal = signals[0].lstrip("-").removeprefix("SIG") if signals else "TERM"
    undo = f"kill {' '.join(nodes)} {names[0]}"
    if signal in ("CONT", "18"):
        return End(undo)
    actions = {
        "STOP": "pause",
        "19": "pause",
        "KILL": "kill",
        "9": "kill",
        "TERM": "terminate",
        "15": "terminate",
    }
    if signal not in actions:
        raise _cannot(words)
    pattern = names[0] if full else rf"^(\S*/)?{re.escape(names[0])}(\s|$)"
    return Begin({"type": "process", "action": actions[signal], "pattern": pattern, "nodes": nodes}, undo)


def _systemctl(words: list[str], nodes: list[str], around: Surroundings) -> Activity:
    actions: dict[str, Params] = {
        "stop": {"action": "terminate", "hold": True},
        "restart": {"action": "restart"},
        "kill": {"action": "terminate"},
    }
    if len(words) != 2 or words[0] not in (*actions, "start"):
        raise _cannot(words)
    unit = words[1] if "." in words[1] else f"{words[1]}.service"
    undo = f"systemctl {' '.join(nodes)} {unit}"
    if words[0] == "start":
        return End(undo)
    return Begin({"type": "process", **actions[words[0]], "unit": [unit], "nodes": nodes}, undo)


def _reboot(words: list[str], nodes: list[str], around: Surroundings) -> Activity:
    return Begin({"type": "power", "action": "reboot", "nodes": nodes}, f"power {' '.join(nodes)}")


def _poweroff(words: list[str], nodes: list[str], around: Surroundings) -> Activity:
    return Begin({"type": "power", "action": "off", "nodes": nodes}, f"power {' '.join(nodes)}")


COMMANDS: dict[str, Callable[[list[str], list[str], Surroundings], Activity]] = {
    "tc": _tc,
    "iptables": _iptables,
    "stress-ng": _stress,
    "pkill": _kill,
    "killall": _kill,
    "systemctl": _systemctl,
    "reboot": _reboot,
    "poweroff": _poweroff,
}
