# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One line of progress while a run goes on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils.fault_words import detail, state_words


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


def load_words(samples: Sequence[Mapping[str, Any]]) -> str:
    """Say the load's rate, from the newest of the samples."""
    if not samples:
        return "no load"
    sample = samples[-1]
    final = ", reading every key once more" if sample["phase"] == "final" else ""
    return f"{sample['ops_per_s']:.0f} operations/s, {sample['sent']} sent{final}"
