# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measures: pure functions from the evidence of a run to one number each, or to why there is none."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ansible_collections.foundation.testbed.plugins.plugin_utils.columns import Bools, Columns, quantile_ms
from ansible_collections.foundation.testbed.plugins.plugin_utils.cut_members import noticed_s
from ansible_collections.foundation.testbed.plugins.plugin_utils.measured import (
    Windows,
    first_gap,
    series_named,
    worst_value,
)

SETTLED_S = 5.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """What criteria measure from; times in seconds since the start instant of the run."""

    columns: Columns
    duration_s: float
    failover: frozenset[str] = frozenset()
    faults: Sequence[Mapping[str, Any]] = ()
    checks: Sequence[Mapping[str, Any]] = ()
    series: Sequence[Mapping[str, Any]] = ()
    metrics_problems: Sequence[str] = ()
    system_nodes: Sequence[str] = ()
    down: Windows = field(default_factory=dict)
    samples: Sequence[Mapping[str, Any]] = ()
    cut_members: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By fault, the members that it leaves without a majority."""
    incomplete: str = ""
    """Why the record does not reach to the declared end; empty when it does."""
    overloaded: bool = False
    """Whether a generator was too late to measure anything but itself."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """A number in the criterion's unit, or None and the reason why there is none.

    `doubt` says what is missing beside the number: it may still break a promise, but never keeps one.
    """

    value: float | None
    reason: str = ""
    doubt: str = ""


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


def partition_detection_time(evidence: Evidence) -> Measurement:
    """Seconds that the slowest member without a majority took to say that it is not healthy."""
    cuts = [fault for fault in evidence.faults if evidence.cut_members.get(str(fault.get("id")))]
    if not cuts:
        return Measurement(None, "No partition left a member without a majority.")
    worst, doubt = 0.0, ""
    for fault in cuts:
        name, from_s, to_s = str(fault.get("id")), fault.get("applied_s"), fault.get("reverted_s")
        if not isinstance(from_s, (int, float)) or not isinstance(to_s, (int, float)):
            return Measurement(None, f"The beginning or the end of fault {name} was not proved.")
        for node in evidence.cut_members[name]:
            found_s = noticed_s(evidence.samples, node, from_s, to_s)
            if found_s is None:
                return Measurement(None, f"{node} said nothing of itself during fault {name}.")
            if math.isinf(found_s):
                found_s = to_s - from_s
                doubt = f"{node} called itself healthy until fault {name} ended, after {found_s:.4g} s."
            worst = max(worst, found_s)
    return Measurement(worst, doubt=doubt)


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


def memory_usage(evidence: Evidence) -> Measurement:
    """Highest share of its own memory limit that a node of the system used; ratio."""
    return _highest(evidence, "memory_share")


def gc_pressure(evidence: Evidence) -> Measurement:
    """Highest share of time that a member of the system spent in garbage collection pauses; ratio."""
    return _highest(evidence, "gc_pressure")


def _highest(evidence: Evidence, name: str) -> Measurement:
    """Return the highest value of a series among the nodes of the system, all of which must be there."""
    found = series_named(evidence.series, name)
    if found is None:
        return Measurement(None, f"No series {name} was recorded{why(evidence, name)}.")
    lines = {str((line.get("labels") or {}).get("node")): line for line in found.get("lines") or []}
    missing = [node for node in evidence.system_nodes if node not in lines]
    if missing or not evidence.system_nodes:
        return Measurement(
            None, f"No {name} was recorded of {', '.join(missing) or 'any node'}{why(evidence, name)}."
        )
    return worst([lines[node] for node in evidence.system_nodes], True, name, evidence)


def worst(lines: Sequence[Mapping[str, Any]], highest: bool, name: str, evidence: Evidence) -> Measurement:
    """Return the worst value, in doubt where a line is absent for too long."""
    value = worst_value(lines, highest, evidence.duration_s)
    gap = first_gap(lines, evidence.duration_s, evidence.down)
    if value is None:
        return Measurement(None, f"{name} gave no value within the declared duration.")
    return Measurement(value, doubt=f"{name} is not known throughout: {gap}." if gap else "")


def why(evidence: Evidence, name: str) -> str:
    """Return what the record of the metrics says of a series that is missing."""
    said = next((each for each in evidence.metrics_problems if each.startswith(f"{name}: ")), "")
    return f": {said.removeprefix(f'{name}: ').rstrip('.')}" if said else ""


def checked(name: str) -> Callable[[Evidence], Measurement]:
    """Return the measure of a checker: keys with an anomaly; none while it is undecided."""

    def measure(evidence: Evidence) -> Measurement:
        check = next((check for check in evidence.checks if check.get("name") == name), None)
        if check is None:
            return Measurement(None, f"The checker {name} did not run.")
        _keys, failed, _undecided = _key_tally(check)
        if check.get("verdict") == "pass":
            return Measurement(0.0)
        if check.get("verdict") == "fail" and failed:
            return Measurement(float(failed))
        return Measurement(None, f"The checker {name} is undecided.")

    return measure


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
