# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Success criteria: pure functions from the evidence of a run to one number each.

A measurement without data is None and a criterion without a number is ``unknown``: missing data never passes.
``CRITERIA`` is the one table of names, definitions, units and comparisons; docs/criteria.md repeats it.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ansible_collections.foundation.testbed.plugins.plugin_utils.columns import Bools, Columns, quantile_ms

SETTLED_S = 5.0
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What criteria measure from; times in seconds since the start instant of the run."""

    columns: Columns
    duration_s: float
    failover: frozenset[str] = frozenset()
    faults: Sequence[Mapping[str, Any]] = ()
    checks: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Measurement:
    """A number in the criterion's unit, or None and the reason why there is none."""

    value: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Criterion:
    """One way to judge a run: its definition in one sentence, its unit and how it is compared by default."""

    name: str
    definition: str
    unit: str
    comparison: str
    measure: Callable[[Evidence], Measurement] = field(repr=False)


def system_availability(evidence: Evidence) -> Measurement:
    """Share of the failover clients' operations that were answered in time; ratio."""
    columns = evidence.columns
    chosen = _of_clients(columns, evidence.failover) if evidence.failover else np.full(len(columns), True)
    if not chosen.any():
        return _no_operations("was due" if not evidence.failover else "of a failover client was due")
    in_time = columns.answered & (columns.latency_s <= columns.timeout_s)
    return Measurement(float(in_time[chosen].mean()))


def error_rate(evidence: Evidence) -> Measurement:
    """Share of all operations due that got no answer; ratio."""
    if not len(evidence.columns):
        return _no_operations("was due")
    return Measurement(float((~evidence.columns.answered).mean()))


def data_consistency(evidence: Evidence) -> Measurement:
    """Share of the checked keys whose history the checkers accept; ratio."""
    tallies = [_key_tally(check) for check in evidence.checks]
    keys, failed, undecided = (sum(column) for column in zip(*tallies, strict=True)) if tallies else (0, 0, 0)
    if any(check.get("verdict") == "fail" for check in evidence.checks) and not failed:
        return Measurement(None, "A check failed without naming a key.")
    if not failed and any(check.get("verdict") != "pass" for check in evidence.checks):
        return Measurement(None, f"{undecided} of {keys} keys are undecided and none failed.")
    if not keys:
        return Measurement(None, "No key was checked.")
    if undecided and not failed:
        return Measurement(None, f"{undecided} of {keys} keys are undecided and none failed.")
    return Measurement(max(0.0, (keys - failed - undecided) / keys))


def recovery_time(evidence: Evidence) -> Measurement:
    """Seconds that the slowest recovery from a fault took."""
    if not evidence.faults:
        return Measurement(None, "The run had no fault to recover from.")
    worst = 0.0
    for fault in evidence.faults:
        found = fault_recovery(evidence, fault)
        if found.value is None:
            return found
        worst = max(worst, found.value)
    return Measurement(worst)


def fault_recovery(evidence: Evidence, fault: Mapping[str, Any]) -> Measurement:
    """Seconds from the proved end of ``fault`` until every client group is answered again, for good.

    Of faults that overlap it counts from the end of the last one: nobody recovers while the next one holds.
    """
    name, end_s = fault.get("id", "?"), fault.get("reverted_s")
    if not isinstance(end_s, (int, float)):
        return Measurement(None, f"The end of fault {name} was not proved.")
    end_s = _joint_end_s(evidence.faults, float(end_s))
    columns = evidence.columns
    start_s = _settled_from(columns, float(end_s), evidence.duration_s)
    if start_s is None:
        return Measurement(
            None, f"The load ended before {SETTLED_S:g} s of answers after fault {name} were seen."
        )
    window = (columns.intended_s >= start_s) & (columns.intended_s < start_s + SETTLED_S)
    firsts = [columns.complete_s[window & (columns.client == group)] for group in range(len(columns.clients))]
    if not all(len(times) for times in firsts):
        return Measurement(None, f"A client group sent nothing in the {SETTLED_S:g} s after fault {name}.")
    return Measurement(max(float(np.min(times)) for times in firsts) - float(end_s))


def _joint_end_s(faults: Sequence[Mapping[str, Any]], end_s: float) -> float:
    """Return when the last of the faults ended that hold at ``end_s`` or, overlapping those, later on."""
    windows = [(fault.get("applied_s"), fault.get("reverted_s")) for fault in faults]
    known = sorted((a, b) for a, b in windows if isinstance(a, (int, float)) and isinstance(b, (int, float)))
    for from_s, to_s in known:
        if from_s <= end_s < to_s:
            end_s = float(to_s)
    return end_s


def average_response_time(evidence: Evidence) -> Measurement:
    """Mean time from intended send to answer; milliseconds."""
    latency_s = evidence.columns.latency_s[evidence.columns.answered]
    return Measurement(float(latency_s.mean() * 1000.0)) if len(latency_s) else _no_operations("was answered")


def p95_response_time(evidence: Evidence) -> Measurement:
    """Time from intended send to answer that 95 % of the answered operations kept; milliseconds."""
    latency_s = evidence.columns.latency_s[evidence.columns.answered]
    return Measurement(quantile_ms(latency_s, 0.95)) if len(latency_s) else _no_operations("was answered")


def throughput(evidence: Evidence) -> Measurement:
    """Answered operations per second of the declared duration."""
    if not len(evidence.columns) or evidence.duration_s <= 0:
        return _no_operations("was due")
    return Measurement(float(evidence.columns.answered.sum()) / evidence.duration_s)


CRITERIA: dict[str, Criterion] = {
    criterion.name: criterion
    for criterion in (
        Criterion(
            "system_availability",
            "Of the operations that failover clients were due to send within the declared duration, the "
            "share answered within the operation timeout counted from their intended time; over all clients "
            "if none fails over.",
            "ratio", ">=", system_availability,
        ),
        Criterion(
            "error_rate",
            "Of all operations due within the declared duration, pinned and failing over, the share not "
            "answered: failed, indeterminate or not sent.",
            "ratio", "<=", error_rate,
        ),
        Criterion(
            "data_consistency",
            "Of all keys that were checked, the share whose history the checkers accept; unknown while a key "
            "is undecided and none failed.",
            "ratio", ">=", data_consistency,
        ),
        Criterion(
            "recovery_time",
            "The seconds from the proved end of a fault until every client group has had its first answer "
            f"within the first {SETTLED_S:g} s, counted from an operation due after that end, in which every "
            "operation due is answered; of several faults, the longest; of faults that overlap, from "
            "the end of the last.",
            "s", "<=", recovery_time,
        ),
        Criterion(
            "average_response_time",
            "The mean time from the intended send to the answer over all answered operations.",
            "ms", "<=", average_response_time,
        ),
        Criterion(
            "p95_response_time",
            "The smallest time from the intended send to the answer that at least 95 % of the answered "
            "operations did not exceed.",
            "ms", "<=", p95_response_time,
        ),
        Criterion(
            "throughput",
            "The answered operations that were due within the declared duration, divided by that duration.",
            "1/s", ">=", throughput,
        ),
    )
}  # fmt: skip


def evaluate(wanted: Mapping[str, Any], evidence: Evidence) -> dict[str, Any]:
    """Judge one criterion of the plan, ``{name, threshold, comparison}``, and return its record."""
    name = str(wanted.get("name"))
    criterion = CRITERIA.get(name)
    if criterion is None:
        known = ", ".join(sorted(CRITERIA))
        return _record(wanted, name, "", None, f"There is no criterion {name!r}; there are {known}.")
    wanted = {**wanted, "comparison": wanted.get("comparison") or criterion.comparison}
    measured = criterion.measure(evidence)
    return _record(wanted, name, criterion.unit, measured.value, measured.reason)


def markdown_table() -> str:
    """Return the table of all criteria for docs/criteria.md."""
    rows = ["| name | unit | passes when | definition |", "|---|---|---|---|"]
    rows += [
        f"| `{item.name}` | {item.unit} | measured {item.comparison} threshold | {item.definition} |"
        for item in CRITERIA.values()
    ]
    return "\n".join(rows)


def _record(
    wanted: Mapping[str, Any], name: str, unit: str, value: float | None, reason: str
) -> dict[str, Any]:
    threshold, comparison = wanted.get("threshold"), wanted.get("comparison")
    compare = COMPARISONS.get(str(comparison))
    if value is None or not math.isfinite(value):
        verdict, value = "unknown", None
    elif compare is None or not isinstance(threshold, (int, float)):
        verdict = "unknown"
        reason = f"Criterion {name} has no usable threshold: {comparison!r} {threshold!r}."
    elif compare(value, float(threshold)):
        verdict = "pass"
    else:
        verdict = "fail"
        shown = "" if unit == "ratio" else f" {unit}"
        reason = f"{name} is {value:.4g}{shown}; it must be {comparison} {threshold:g}{shown}."
    return {
        "name": name, "threshold": threshold, "comparison": comparison, "actual": value,
        "unit": unit, "verdict": verdict, "reason": reason,
    }  # fmt: skip


def _no_operations(what: str) -> Measurement:
    return Measurement(None, f"No operation {what}.")


def _of_clients(columns: Columns, names: frozenset[str]) -> Bools:
    numbers = [number for number, name in enumerate(columns.clients) if name in names]
    return np.isin(columns.client, numbers)


def _key_tally(check: Mapping[str, Any]) -> tuple[int, int, int]:
    """Keys checked, keys that failed, keys undecided."""
    detail = check.get("detail") or {}
    named = detail.get("failed_keys") or [anomaly.get("key") for anomaly in check.get("anomalies") or []]
    failed = len({str(key) for key in named})
    undecided = detail.get("undecided") or 0
    return int(detail.get("keys") or 0), failed, undecided if isinstance(undecided, int) else len(undecided)


def _settled_from(columns: Columns, end_s: float, duration_s: float) -> float | None:
    """Return when the first operation after ``end_s`` was due that begins a window of answers alone."""
    after = columns.intended_s >= end_s
    times_s, answered = columns.intended_s[after], columns.answered[after]
    gaps = np.flatnonzero(~answered)
    starts = np.concatenate(([0], gaps + 1))
    ends_s = np.append(times_s[gaps], np.inf)
    for start, next_gap_s in zip(starts, ends_s, strict=True):
        if start >= len(times_s) or times_s[start] + SETTLED_S > duration_s:
            return None
        if times_s[start] + SETTLED_S <= next_gap_s:
            return float(times_s[start])
    return None
