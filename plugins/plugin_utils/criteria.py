# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Success criteria: what is measured, how it is compared with what a plan asks for, and the verdict on it.

A measurement without data is None and a criterion without a number is ``unknown``: missing data never passes.
``CRITERIA`` is the one table of names, definitions, units and comparisons; docs/criteria.md repeats it.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils import measures
from ansible_collections.foundation.testbed.plugins.plugin_utils.measured import series_of_criterion
from ansible_collections.foundation.testbed.plugins.plugin_utils.measures import (
    SETTLED_S,
    Evidence,
    Measurement,
)

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
}


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


CRITERIA: dict[str, Criterion] = {
    criterion.name: criterion
    for criterion in (
        Criterion(
            "system_availability",
            "Of the operations that failover clients were due to send within the declared duration, the "
            "share answered within the operation timeout counted from their intended time; over all clients "
            "if none fails over.",
            "ratio", ">=", measures.system_availability,
        ),
        Criterion(
            "error_rate",
            "Of all operations due within the declared duration, pinned and failing over, the share not "
            "answered: failed, indeterminate or not sent.",
            "ratio", "<=", measures.error_rate,
        ),
        Criterion(
            "data_consistency",
            "Of all keys that were checked, the share whose history the checkers accept; unknown while a key "
            "is undecided and none failed.",
            "ratio", ">=", measures.data_consistency, final=True,
        ),
        Criterion(
            "recovery_time",
            "The seconds from the proved end of a fault until every client group has had its first answer "
            f"within the first {SETTLED_S:g} s, counted from an operation due after that end, in which every "
            "operation due is answered; of several faults, the longest; of faults that overlap, from "
            "the end of the last.",
            "s", "<=", measures.recovery_time,
        ),
        Criterion(
            "partition_detection_time",
            "The seconds from the proved beginning of a partition until a member that it leaves without a "
            "majority says of itself that it is not healthy, asked once in each `scrape_interval`; of "
            "several members and partitions, the longest; of a member that never says so, the length of the "
            "partition, which never passes.",
            "s", "<=", measures.partition_detection_time,
        ),
        Criterion(
            "average_response_time",
            "The mean time from the intended send to the answer over all answered operations.",
            "ms", "<=", measures.average_response_time,
        ),
        Criterion(
            "p95_response_time",
            "The smallest time from the intended send to the answer that at least 95 % of the answered "
            "operations did not exceed.",
            "ms", "<=", measures.p95_response_time,
        ),
        Criterion(
            "throughput",
            "The answered operations that were due within the declared duration, divided by that duration.",
            "1/s", ">=", measures.throughput,
        ),
        Criterion(
            "memory_usage",
            "The highest share of its own memory limit that a node which runs the system used, seen "
            "once in each `scrape_interval` over the declared duration.",
            "ratio", "<=", measures.memory_usage, final=True,
        ),
        Criterion(
            "gc_pressure",
            "The highest share of time that a member of the system spent in garbage collection pauses (its "
            "series `gc_pressure`), seen once in each `scrape_interval` over the declared duration.",
            "ratio", "<=", measures.gc_pressure, final=True,
        ),
        Criterion(
            "linearizable-register",
            "The keys whose history the checker `linearizable-register` does not accept; unknown while a key "
            "is undecided and none failed.",
            "keys", "<=", measures.checked("linearizable-register"), final=True,
        ),
        Criterion(
            "linearizable-registry",
            "The names whose history the checker `linearizable-registry` does not accept; unknown while a "
            "name is undecided and none failed.",
            "keys", "<=", measures.checked("linearizable-registry"), final=True,
        ),
        Criterion(
            "event-delivery",
            "The topics whose history the checker `event-delivery` does not accept: an event lost, doubled, "
            "out of order or never published; unknown while a subscriber has not read to the end of a topic.",
            "keys", "<=", measures.checked("event-delivery"), final=True,
        ),
        Criterion(
            "agreement-consensus",
            "The proposals whose history the checker `agreement-consensus` does not accept: completed more "
            "than once, against the votes, or by a coordinator that had been replaced; unknown while none "
            "was completed.",
            "keys", "<=", measures.checked("agreement-consensus"), final=True,
        ),
        Criterion(
            "money-conserved",
            "The accounts that do not hold what their deposit and their payments make, by the checker "
            "`money-conserved`: each payment counts once where it was answered, and what stayed in doubt may "
            "have been made once or not; `total` is one of them where the sum of all balances is not that of "
            "all deposits. Unknown where nobody saw all accounts at the end.",
            "keys", "<=", measures.checked("money-conserved"), final=True,
        ),
        Criterion(
            "auction-winner",
            "The auctions whose history the checker `auction-winner` does not accept: more than one winner, "
            "a winner that is not the highest bid that stands, a bid taken after the close, or a look that "
            "shows less than was answered before; unknown while none was closed.",
            "keys", "<=", measures.checked("auction-winner"), final=True,
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
        return Measurement(None, f"The expression of {name} gave no value{measures.why(evidence, name)}.")
    measured = measures.worst(lines, str(wanted.get("comparison")) in ("<", "<="), name, evidence)
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
