# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the load was, and whether it was enough to judge from. Each lack is one sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from ansible_collections.foundation.testbed.plugins.plugin_utils.columns import OUTCOMES, Columns, quantile_ms
from ansible_collections.foundation.testbed.plugins.plugin_utils.history import Operation
from ansible_collections.foundation.testbed.plugins.plugin_utils.ledger_entry import number

LATENESS_P99_MS, LATENESS_SHARE = 250.0, 0.1
"""A generator that sent one operation in a hundred later than this was overloaded and measured itself.

Where operations are given longer than 2.5 s, it may be late by that share of their time."""

Entry = Mapping[str, Any]


def load_figures(plan: Entry, columns: Columns, load: Sequence[Entry]) -> dict[str, Any]:
    """Return the load record of results.json; latencies in ms, ``rate`` in operations sent per second."""
    counts = {name: int((columns.outcome == place).sum()) for place, name in enumerate(OUTCOMES)}
    duration_s = number(plan.get("duration_s"), 0.0)
    sent = int(columns.sent.sum())
    return {
        "operations": len(columns), "answered": int(columns.answered.sum()),
        "ok": counts["ok"], "fail": counts["fail"], "indeterminate": counts["info"],
        "dropped": counts["drop"],
        "rate": round(sent / duration_s, 3) if duration_s > 0 else 0.0, "planned_rate": planned_rate(plan),
        "latency_ms": _latency(columns), "lateness_p99_ms": _lateness_p99_ms(load),
    }  # fmt: skip


def planned_rate(plan: Entry) -> float:
    """Operations per second that all generators together were to send."""
    return sum(number(part.get("rate_per_s"), 0.0) for part in plan.get("load") or [])


def load_problems(
    plan: Entry, columns: Columns, operations: Sequence[Operation], load: Sequence[Entry]
) -> list[str]:
    """Return why the load was not enough to judge from; empty when it was."""
    if planned_rate(plan) <= 0:
        return ["The plan has no load, so nothing was asked of the system."]
    recorded = Counter(operation.generator for operation in operations)
    generators = [str(part.get("generator")) for part in plan.get("load") or [] if part.get("rate_per_s")]
    own = {str(entry.get("generator")): entry for entry in load}
    problems = [*_too_little(plan, columns), *overloaded(plan, load)]
    for name in generators:
        problems += _generator_problems(name, own.get(name), recorded[name])
    return problems


def overloaded(plan: Entry, load: Sequence[Entry]) -> list[str]:
    """Return one sentence for each generator that was too late to measure anything but itself."""
    lateness = {str(entry.get("generator")): (entry.get("lateness_ms") or {}).get("p99") for entry in load}
    found = []
    for part in plan.get("load") or []:
        name, timeout_s = str(part.get("generator")), number(part.get("operation_timeout_s"), 0.0)
        lateness_ms, latest_ms = lateness.get(name), max(LATENESS_P99_MS, LATENESS_SHARE * timeout_s * 1e3)
        if lateness_ms is not None and number(lateness_ms, np.inf) > latest_ms:
            found.append(
                f"Overloaded generator: {name} sent one operation in a hundred {lateness_ms:g} ms late "
                f"or more; the bound is {latest_ms:g} ms."
            )
    return found


def shortened(plan: Entry, load: Sequence[Entry]) -> str:
    """Return why the record of the load does not reach to the declared end; empty when it does."""
    own = {str(entry.get("generator")): entry for entry in load}
    for part in plan.get("load") or []:
        name = str(part.get("generator"))
        if part.get("rate_per_s") and name not in own:
            return f"generator {name} left no record of itself."
        if part.get("rate_per_s") and own[name].get("finished") is not True:
            return f"the load ended before the declared duration: generator {name} did not finish."
    return ""


def fault_load_problems(faults: Iterable[Entry], plan: Entry, columns: Columns) -> list[str]:
    """Return one sentence for each fault during which the generators sent nothing."""
    planned = {fault.get("id"): fault for fault in plan.get("faults") or []}
    problems = []
    for fault in faults:
        plan_of = planned.get(fault.get("id"), {})
        from_s = number(fault.get("applied_s"), number(plan_of.get("start_s"), 0.0))
        to_s = number(fault.get("reverted_s"), number(plan_of.get("end_s"), from_s))
        during = columns.sent & (columns.intended_s >= from_s) & (columns.intended_s <= to_s)
        if not during.any():
            problems.append(f"No operation was sent while fault {fault.get('id')} held.")
    return problems


def _too_little(plan: Entry, columns: Columns) -> list[str]:
    wanted, problems = plan.get("minimum_load") or {}, []
    least, answered = number(wanted.get("operations"), 1.0), int(columns.answered.sum())
    if answered < least:
        problems.append(
            f"Too little load: {answered} operations were answered, at least {least:g} are needed."
        )
    due = planned_rate(plan) * number(plan.get("duration_s"), 0.0)
    share, least_share = (
        (int(columns.sent.sum()) / due if due else 0.0),
        number(wanted.get("rate_share"), 0.0),
    )
    if share < least_share:
        problems.append(
            f"Too little load: {share:.1%} of the declared rate was sent; {least_share:.1%} are needed."
        )
    return problems


def _generator_problems(name: str, own: Entry | None, recorded: int) -> list[str]:
    """Return what one generator's own record leaves in doubt."""
    if own is None:
        return [f"Generator {name} left no record of itself; it was killed or never ran."]
    problems = []
    if own.get("finished") is not True:
        problems.append(f"Generator {name} did not finish.")
    if (own.get("lateness_ms") or {}).get("p99") is None:
        problems.append(f"Generator {name} does not say how late it was.")
    sent = int(number(own.get("sent"), 0.0))
    if recorded < sent:
        problems.append(
            f"The history is not whole: it holds {recorded} of the {sent} operations of generator {name}."
        )
    return problems + _final_read_problems(name, own.get("final_read"))


def _final_read_problems(name: str, final: Any) -> list[str]:
    if not isinstance(final, Mapping):
        return [f"Generator {name} did not read every key at the end."]
    keys, read = int(number(final.get("keys"), 0.0)), int(number(final.get("read"), 0.0))
    unread = [str(key) for key in final.get("unread") or []]
    if not unread and read >= keys:
        return []
    named = f" ({', '.join(unread[:5])}{', …' if len(unread) > 5 else ''})" if unread else ""
    return [f"The final read is incomplete: generator {name} read {read} of {keys} keys{named}."]


def _latency(columns: Columns) -> dict[str, float | None]:
    latency_s = columns.latency_s[columns.answered]
    if not len(latency_s):
        return dict.fromkeys(("mean", "p50", "p95", "p99", "max"))
    figures = {"mean": float(latency_s.mean()) * 1000.0}
    figures |= {
        name: quantile_ms(latency_s, share) for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    }
    figures["max"] = float(latency_s.max()) * 1000.0
    return {name: round(value, 3) for name, value in figures.items()}


def _lateness_p99_ms(load: Sequence[Entry]) -> float | None:
    """Return the worst generator's lateness in ms."""
    values = [(entry.get("lateness_ms") or {}).get("p99") for entry in load]
    return max((float(value) for value in values if isinstance(value, (int, float))), default=None)
