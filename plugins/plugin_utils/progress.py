# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One line of progress while a run goes on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def progress_line(plan: Mapping[str, Any], now_s: float, sample: Mapping[str, Any] | None) -> str:
    """Say the time left, the active faults, and the load; `sample` adds up its generators."""
    if now_s < 0:
        return when_words(plan, now_s)
    load = load_words([] if sample is None else [sample])
    errors = "" if sample is None else f", {sample['unanswered']} without an answer"
    return f"{when_words(plan, now_s)} | {active_faults(plan['faults'], now_s)} | {load}{errors}"


def when_words(plan: Mapping[str, Any], now_s: float) -> str:
    """Say how far the run is."""
    if now_s < 0:
        return f"starts in {-now_s:.0f} s on all nodes at once"
    duration_s = plan["duration_s"]
    return f"{min(now_s, duration_s):3.0f} s, {max(duration_s - now_s, 0):.0f} s left"


def active_faults(faults: Iterable[Mapping[str, Any]], now_s: float) -> str:
    """Say which faults are active now, or wait for a state, and how long they last."""
    active = [
        f"{fault['id']} ({detail(fault)}), {_how_long(fault, now_s)}"
        for fault in faults
        if fault["start_s"] <= now_s < fault["end_s"]
    ]
    return "; ".join(active) or "no fault"


def fault_words(fault: Mapping[str, Any], now_s: float) -> str:
    """Say what an active fault does and how long it lasts."""
    return f"{detail(fault)}, {_how_long(fault, now_s)}"


def end_words(plan: Mapping[str, Any], now_s: float) -> str:
    """Say when a run ended that did not come to its end."""
    if now_s > plan["duration_s"]:
        return f"after its {plan['duration_s']:.0f} s, before every key was read once more"
    return f"after {now_s:.0f} s of {plan['duration_s']:.0f} s" if now_s > 0 else "before it began"


def _how_long(fault: Mapping[str, Any], now_s: float) -> str:
    """Say how long it lasts; of one that waits for a state, only its nodes know whether it has begun."""
    left = f"{fault['end_s'] - now_s:.0f} s more"
    if "when" in fault:
        state, waits_s = state_words(fault["when"]), fault["start_s"] + fault["when"]["within_s"] - now_s
        if waits_s > 0:
            return f"waiting for {state}, or begun by it, {waits_s:.0f} s more at most"
        return f"may hold where {state} came, {left} at most"
    return f"until {state_words(fault['until'])}, {left} at most" if "until" in fault else left


def state_words(condition: Mapping[str, Any]) -> str:
    """Say a state of the system in words."""
    state = condition["state"]
    if condition.get("changed"):
        return f"a change of {state}"
    key = next(key for key in ("is", "above", "below") if key in condition)
    value = condition[key]
    said = str(value).lower() if isinstance(value, bool) else f"{value}"
    return f"{state} {key} {said}"


def detail(fault: Mapping[str, Any]) -> str:
    """Say a fault in a few words: its kind, what it was told, and on which nodes."""
    groups = fault["params"].get("groups")
    if groups:
        return f"{fault['type']} " + " | ".join("+".join(members) for members in groups.values())
    sides = _sides(fault)
    if sides:
        return f"{fault['type']} " + " | ".join("+".join(members) for members in sides)
    told = " ".join(f"{key}={_value(value)}" for key, value in fault["params"].items())
    where = fault.get("where")
    asked = f" where {state_words(where)}" if where else ""
    return f"{fault['type']} {told} on {'+'.join(fault['targets'])}{asked}".replace("  ", " ")


def _sides(fault: Mapping[str, Any]) -> list[list[str]]:
    """Return the sides of a cut that a shape made; none where it has no sides, or each node asks itself."""
    blocked = {name: frozenset(program.get("blocked", ())) for name, program in fault["nodes"].items()}
    if fault["type"] != "partition" or {"when", "where"} & set(fault):
        return []
    found = [[name for name in blocked if blocked[name] == cut] for cut in dict.fromkeys(blocked.values())]
    apart = all(set(blocked) - set(side) == set(blocked[side[0]]) for side in found)
    return found if len(found) > 1 and apart else []


def _value(value: Any) -> str:
    return "+".join(map(str, value)) if isinstance(value, list) else f"{value}"


def load_words(samples: Sequence[Mapping[str, Any]]) -> str:
    """Say the load's rate, from the newest of the samples."""
    if not samples:
        return "no load"
    sample = samples[-1]
    final = ", reading every key once more" if sample["phase"] == "final" else ""
    return f"{sample['ops_per_s']:.0f} operations/s, {sample['sent']} sent{final}"
