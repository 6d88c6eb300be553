# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults of a plan in words, the same in the terminal, the report and the summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Fault = Mapping[str, Any]

DURATIONS = frozenset({"delay", "jitter", "interval", "offset"})
PERCENTAGES = frozenset({"loss", "duplicate", "corrupt", "reorder", "target"})
BARE = frozenset({"action", "resource", "pattern", "shape"})
"""Parameters whose value says enough without their name."""
STATES = {
    "partition": "partitioned", "link": "impaired", "power": "down", "process": "down", "disk": "pressured",
    "disk_fill": "pressured", "pressure": "pressured",
}  # fmt: skip


def state(fault: Fault) -> str:
    """Return what a fault makes of its nodes: partitioned, impaired, down, paused, pressured or damaged."""
    action = _params(fault).get("action")
    if (fault.get("type"), action) in (("process", "pause"), ("disk", "fail")):
        return "paused" if action == "pause" else "down"
    return STATES.get(str(fault.get("type")), "damaged")


def detail(fault: Fault) -> str:
    """Say a fault in a few words: its kind, what it was told, and on which nodes."""
    kind, sides = kind_words(fault), _named_sides(fault)
    if sides:
        return f"{kind} " + " | ".join("+".join(members) for members in sides)
    return f"{kind} {told(fault)} on {'+'.join(fault['targets'])}{_where(fault)}".replace("  ", " ")


def kind_words(fault: Fault) -> str:
    """Return the kind as people write it."""
    return str(fault.get("type")).replace("_", " ")


def told(fault: Fault) -> str:
    """Say the parameters with their units; what was left out, or is off, is not said."""
    pairs = _params(fault).items()
    return ", ".join(_said(str(fault.get("type")), key, value) for key, value in pairs if _given(key, value))


def on_state(fault: Fault) -> str:
    """Say which states begin and end a fault within its times."""
    words = {"when": "on", "until": "until"}
    return "".join(f" {word} {state_words(fault[key])}" for key, word in words.items() if key in fault)


def state_words(condition: Mapping[str, Any]) -> str:
    """Say a state of the system in words."""
    name = condition["state"]
    if condition.get("changed"):
        return f"a change of {name}"
    key = next(key for key in ("is", "above", "below") if key in condition)
    value = condition[key]
    said = str(value).lower() if isinstance(value, bool) else f"{value}"
    return f"{name} {key} {said}"


def happened(fault: Fault) -> str:
    """Say what a fault did as the end of a sentence: "n4 and n5 were cut off from n1, n2 and n3"."""
    sides = _named_sides(fault)
    if fault.get("type") == "partition" and sides:
        return _split(sides)
    who, many = _whom(fault)
    was = "were" if many else "was"
    action = _params(fault).get("action")
    words = {
        "partition": f"{who} {was} cut off",
        "link": f"the network of {who} was impaired",
        "power": f"{who} {was} off" if action == "off" else f"{who} went down",
        "process": f"the system on {who} was {'stopped' if action == 'pause' else 'killed'}",
        "disk": f"the disk of {who} {'failed' if action == 'fail' else 'was slow'}",
        "disk_fill": f"the disk of {who} was filled",
        "pressure": f"{who} ran short of {_resource(fault)}",
        "clock": f"the clock of {who} was wrong",
        "storage": f"data of {who} was damaged",
        "name_service": f"{who} could not resolve names",
    }
    return words.get(str(fault.get("type")), f"{kind_words(fault)} held on {who}")


def duration(seconds: float) -> str:
    """Return seconds as a person says them: 50 ms, 1.5 s, 2 min, 1 h; the sign is kept."""
    size = abs(seconds)
    for unit, length in (("h", 3600.0), ("min", 60.0)):
        if size >= length and size % length == 0:
            return f"{seconds / length:g} {unit}"
    return f"{seconds * 1000:g} ms" if 0 < size < 1 else f"{seconds:g} s"


BINARY, DECIMAL = ("B", "KiB", "MiB", "GiB"), ("B", "kB", "MB", "GB", "TB")


def size(count: float, units: Sequence[str] = BINARY, step: float = 1024.0) -> str:
    """Return a number of bytes, or of what `units` say, in the largest unit that fits."""
    place = 0
    while abs(count) >= step and place + 1 < len(units):
        count, place = count / step, place + 1
    return f"{count:.4g} {units[place]}"


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence lists them: n1, n2 and n3."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def _params(fault: Fault) -> Mapping[str, Any]:
    return fault.get("params") or {}


def _given(key: str, value: Any) -> bool:
    return value not in (None, False, [], {}) and (key, value) != ("clients", "stay")


def _said(kind: str, key: str, value: Any) -> str:
    if key in BARE:
        return str(value).replace("_", " ")
    if value is True:
        return key.replace("_", " ")
    number = isinstance(value, (int, float))
    words = f"{key.replace('_', ' ')} "
    if number and key in DURATIONS:
        return words + duration(value)
    if number and key in PERCENTAGES:
        return f"{words}{value:g} %"
    if number and key == "rate":
        return words + _rate(kind, value)
    if number and key in ("size", "bytes"):
        return words + size(value)
    if key == "iops":
        return f"{value} operations/s"
    if key == "left":
        return f"{value} tasks left"
    return words + _plain(value)


def _rate(kind: str, value: float) -> str:
    if kind == "link":
        return size(value, ("bit/s", "kbit/s", "Mbit/s", "Gbit/s"), 1000.0)
    return f"{size(value)}/s" if kind == "pressure" else f"{value:g}"


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(inner)}" for key, inner in value.items())
    return "+".join(map(_plain, value)) if isinstance(value, (list, tuple)) else f"{value}"


def _named_sides(fault: Fault) -> list[list[str]]:
    groups = _params(fault).get("groups")
    return [list(members) for members in groups.values()] if isinstance(groups, Mapping) else _sides(fault)


def _sides(fault: Fault) -> list[list[str]]:
    """Return the sides of a cut that a shape made; none where it has no sides, or each node asks itself."""
    if fault.get("type") != "partition" or {"when", "where"} & set(fault):
        return []
    blocked = {name: frozenset(program.get("blocked", ())) for name, program in _programs(fault).items()}
    found = [[name for name in blocked if blocked[name] == cut] for cut in dict.fromkeys(blocked.values())]
    apart = all(set(blocked) - set(side) == set(blocked[side[0]]) for side in found)
    return found if len(found) > 1 and apart else []


def _programs(fault: Fault) -> Mapping[str, Mapping[str, Any]]:
    programs = fault.get("nodes")
    return programs if isinstance(programs, Mapping) else {}


def _split(sides: Sequence[Sequence[str]]) -> str:
    if len(sides) == 2:
        few, rest = sorted(sides, key=len)
        return f"{listed(few)} {'were' if len(few) > 1 else 'was'} cut off from {listed(rest)}"
    return f"the nodes were cut into {len(sides)} parts"


def _where(fault: Fault) -> str:
    return f" where {state_words(fault['where'])}" if fault.get("where") else ""


def _whom(fault: Fault) -> tuple[str, bool]:
    """Return whom a fault is about, and whether that is more than one."""
    where, targets = fault.get("where") or {}, [str(name) for name in fault.get("targets") or []]
    if where.get("state") == "leader":
        return ("the leader", False) if where.get("is") is True else ("the followers", True)
    if len(targets) > 3:
        return f"{len(targets)} nodes", True
    return listed(targets) or "a node", len(targets) > 1


def _resource(fault: Fault) -> str:
    name = str(_params(fault).get("resource"))
    words = {
        "oom": "memory", "io": "disk bandwidth", "pids": "tasks", "descriptors": "file descriptors",
        "cpu": "processor time",
    }  # fmt: skip
    return words.get(name, name)
