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
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from ansible_collections.foundation.testbed.plugins.plugin_utils.columns import Bools, Columns, quantile_ms
from ansible_collections.foundation.testbed.plugins.plugin_utils.cut_members import noticed_s
from ansible_collections.foundation.testbed.plugins.plugin_utils.measured import (
    Windows,
    first_gap,
    series_named,
    series_of_criterion,
    worst_value,
)

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


@dataclass(frozen=True, slots=True)
class Criterion:
    """One way to judge a run: its definition in one sentence, its unit and how it is compared by default."""

    name: str
    definition: str
    unit: str
    comparison: str
    measure: Callable[[Evidence], Measurement] = field(repr=False)
    final: bool = False
    """Whether what broke it cannot be made good by what a shortened record lacks."""


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
        return Measurement(None, f"No series {name} was recorded{_why(evidence, name)}.")
    lines = {str((line.get("labels") or {}).get("node")): line for line in found.get("lines") or []}
    missing = [node for node in evidence.system_nodes if node not in lines]
    if missing or not evidence.system_nodes:
        return Measurement(
            None, f"No {name} was recorded of {', '.join(missing) or 'any node'}{_why(evidence, name)}."
        )
    return _worst([lines[node] for node in evidence.system_nodes], True, name, evidence)


def _worst(lines: Sequence[Mapping[str, Any]], highest: bool, name: str, evidence: Evidence) -> Measurement:
    """Return the worst value, in doubt where a line is absent for too long."""
    value = worst_value(lines, highest, evidence.duration_s)
    gap = first_gap(lines, evidence.duration_s, evidence.down)
    if value is None:
        return Measurement(None, f"{name} gave no value within the declared duration.")
    return Measurement(value, doubt=f"{name} is not known throughout: {gap}." if gap else "")


def _why(evidence: Evidence, name: str) -> str:
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
            "ratio", ">=", data_consistency, final=True,
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
            "partition_detection_time",
            "The seconds from the proved beginning of a partition until a member that it leaves without a "
            "majority says of itself that it is not healthy, asked once in each `scrape_interval`; of "
            "several members and partitions, the longest; of a member that never says so, the length of the "
            "partition, which never passes.",
            "s", "<=", partition_detection_time,
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
        Criterion(
            "memory_usage",
            "The highest share of its own memory limit that a node which runs the system used, seen "
            "once in each `scrape_interval` over the declared duration.",
            "ratio", "<=", memory_usage, final=True,
        ),
        Criterion(
            "gc_pressure",
            "The highest share of time that a member of the system spent in garbage collection pauses (its "
            "series `gc_pressure`), seen once in each `scrape_interval` over the declared duration.",
            "ratio", "<=", gc_pressure, final=True,
        ),
        Criterion(
            "linearizable-register",
            "The keys whose history the checker `linearizable-register` does not accept; unknown while a key "
            "is undecided and none failed.",
            "keys", "<=", checked("linearizable-register"), final=True,
        ),
        Criterion(
            "linearizable-registry",
            "The names whose history the checker `linearizable-registry` does not accept; unknown while a "
            "name is undecided and none failed.",
            "keys", "<=", checked("linearizable-registry"), final=True,
        ),
        Criterion(
            "event-delivery",
            "The topics whose history the checker `event-delivery` does not accept: an event lost, doubled, "
            "out of order or never published; unknown while a subscriber has not read to the end of a topic.",
            "keys", "<=", checked("event-delivery"), final=True,
        ),
        Criterion(
            "agreement-consensus",
            "The proposals whose history the checker `agreement-consensus` does not accept: completed more "
            "than once, against the votes, or by a coordinator that had been replaced; unknown while none "
            "was completed.",
            "keys", "<=", checked("agreement-consensus"), final=True,
        ),
        Criterion(
            "money-conserved",
            "The accounts that do not hold what their deposit and their payments make, by the checker "
            "`money-conserved`: each payment counts once where it was answered, and what stayed in doubt may "
            "have been made once or not; `total` is one of them where the sum of all balances is not that of "
            "all deposits. Unknown where nobody saw all accounts at the end.",
            "keys", "<=", checked("money-conserved"), final=True,
        ),
        Criterion(
            "auction-winner",
            "The auctions whose history the checker `auction-winner` does not accept: more than one winner, "
            "a winner that is not the highest bid that stands, a bid taken after the close, or a look that "
            "shows less than was answered before; unknown while none was closed.",
            "keys", "<=", checked("auction-winner"), final=True,
        ),
    )
}  # fmt: skip


def evaluate(wanted: Mapping[str, Any], evidence: Evidence) -> dict[str, Any]:
    """Judge one criterion of the plan, ``{name, threshold, comparison}``, and return its record.

    One with a ``query`` is a PromQL expression; ``unit`` is then its own.
    """
    name = str(wanted.get("name"))
    if "query" in wanted:
        return _record(wanted, str(wanted.get("unit") or ""), _promql(wanted, evidence))
    criterion = CRITERIA.get(name)
    if criterion is None:
        known = ", ".join(sorted(CRITERIA))
        return _record(wanted, "", Measurement(None, f"There is no criterion {name!r}; there are {known}."))
    wanted = {**wanted, "comparison": wanted.get("comparison") or criterion.comparison}
    found = criterion.measure(evidence)
    if evidence.incomplete and criterion.final:
        found = replace(found, doubt=found.doubt or f"{name} is not known to the end: {evidence.incomplete}")
    elif evidence.incomplete:
        found = Measurement(None, f"{name} is not known: {evidence.incomplete}")
    judged = _record(wanted, criterion.unit, found)
    if judged["verdict"] == "fail" and evidence.overloaded and not criterion.final:
        reason = f"{judged['reason']} The generator was overloaded, so that may be its own doing."
        return {**judged, "verdict": "unknown", "reason": reason}
    return judged


def _promql(wanted: Mapping[str, Any], evidence: Evidence) -> Measurement:
    """Return the worst value that a criterion's own expression had over the declared duration."""
    name = str(wanted.get("name"))
    lines = (series_of_criterion(evidence.series, name) or {}).get("lines") or []
    if not lines:
        return Measurement(None, f"The expression of {name} gave no value{_why(evidence, name)}.")
    measured = _worst(lines, str(wanted.get("comparison")) in ("<", "<="), name, evidence)
    if evidence.incomplete and not measured.doubt:
        return replace(measured, doubt=f"{name} is not known to the end: {evidence.incomplete}")
    return measured


def markdown_table() -> str:
    """Return the table of all criteria for docs/criteria.md."""
    rows = ["| name | unit | passes when | definition |", "|---|---|---|---|"]
    rows += [
        f"| `{item.name}` | {item.unit} | measured {item.comparison} threshold | {item.definition} |"
        for item in CRITERIA.values()
    ]
    return "\n".join(rows)


def _record(wanted: Mapping[str, Any], unit: str, found: Measurement) -> dict[str, Any]:
    name, value, reason = str(wanted.get("name")), found.value, found.reason
    threshold, comparison = wanted.get("threshold"), wanted.get("comparison")
    compare = COMPARISONS.get(str(comparison))
    if value is None or not math.isfinite(value):
        verdict, value = "unknown", None
    elif compare is None or not isinstance(threshold, (int, float)):
        verdict = "unknown"
        reason = f"Criterion {name} has no usable threshold: {comparison!r} {threshold!r}."
    elif not compare(value, float(threshold)):
        verdict = "fail"
        shown = "" if unit in ("", "ratio") else f" {unit}"
        reason = f"{name} is {value:.4g}{shown}; it must be {comparison} {threshold:g}{shown}."
    elif found.doubt:
        verdict, value, reason = "unknown", None, found.doubt
    else:
        verdict = "pass"
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
