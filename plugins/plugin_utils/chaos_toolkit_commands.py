# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The commands of Chaos Toolkit's actions of type process that have a counterpart, behind ssh or not."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import parse_duration
from ansible_collections.foundation.testbed.plugins.plugin_utils.chaos_toolkit_words import (
    Activity,
    Begin,
    End,
    Params,
    Surroundings,
    Unmapped,
)


def commanded(provider: Mapping[str, Any], around: Surroundings) -> Activity:
    """Return what an action of type process does; raises Unmapped."""
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
