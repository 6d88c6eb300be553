# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One line of progress while a run goes on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils.fault_words import detail as _detail
from ansible_collections.foundation.testbed.plugins.plugin_utils.fault_words import on_state as _on_state
from ansible_collections.foundation.testbed.plugins.plugin_utils.fault_words import state_words


def progress_line(plan: Mapping[str, Any], now_s: float, generators: Sequence[Mapping[str, Any]]) -> str:
    """Say the time left, the faults that are active, and the load's rate and errors; times in seconds."""
    duration_s = plan["duration_s"]
    if now_s < 0:
        return f"starts in {-now_s:.0f} s on all nodes at once"
    when = f"{min(now_s, duration_s):3.0f} s, {max(duration_s - now_s, 0):.0f} s left"
    return f"{when} | {active_faults(plan['faults'], now_s)} | {_load(generators)}"


def active_faults(faults: Iterable[Mapping[str, Any]], now_s: float) -> str:
    """Say which faults are active now, or wait for a state, and how long they last."""
    active = [
        f"{fault['id']} ({_detail(fault)}), {_how_long(fault, now_s)}"
        for fault in faults
        if fault["start_s"] <= now_s < fault["end_s"]
    ]
    return "; ".join(active) or "no fault"


def _how_long(fault: Mapping[str, Any], now_s: float) -> str:
    """Say how long it lasts; of one that waits for a state, only its nodes know whether it has begun."""
    left = f"{fault['end_s'] - now_s:.0f} s more"
    if "when" in fault:
        state, waits_s = state_words(fault["when"]), fault["start_s"] + fault["when"]["within_s"] - now_s
        if waits_s > 0:
            return f"waiting for {state}, or begun by it, {waits_s:.0f} s more at most"
        return f"may hold where {state} came, {left} at most"
    return f"until {state_words(fault['until'])}, {left} at most" if "until" in fault else left


def _load(generators: Sequence[Mapping[str, Any]]) -> str:
    if not generators:
        return "no load"
    rate = sum(part["ops_per_s"] for part in generators)
    unanswered = sum(
        part["sent"] + part["dropped"] - part["in_flight"] - part["answered"] for part in generators
    )
    sent = sum(part["sent"] for part in generators)
    final = ", reading every key once more" if any(part["phase"] == "final" for part in generators) else ""
    return f"{rate:.0f} operations/s, {sent} sent, {unanswered} without an answer{final}"


def overview(plan: Mapping[str, Any]) -> str:
    """Describe the plan in a few lines, before it runs."""
    lines = [
        f"scenario  {plan['scenario']['title']} ({plan['scenario']['name']}), seed {plan['seed']}, "
        f"{plan['duration_s']:.0f} s on {len(plan['nodes'])} nodes of {plan['testbed_id']}"
    ]
    for part in plan["load"]:
        lines.append(
            f"load      {part['rate_per_s']:g} operations/s from {part['observer']}, {part['workload']} on "
            f"{part['system']}, clients: {', '.join(c['name'] for c in part['clients'])}"
        )
    for fault in plan["faults"]:
        until = f"{fault['start_s']} s to {fault['end_s']} s"
        lines.append(f"fault     {fault['id']}: {until}{_on_state(fault)}, {_detail(fault)}")
    for item in plan["criteria"]:
        lines.append(f"criterion {item['name']} {item['comparison']} {item['threshold']:g}")
    return "\n".join(lines)
