# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What checkers of rules report: a sentence for each key that breaks one, and the operations that show it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.anomaly import anomaly
from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.linearizable import CheckResult
from ansible_collections.foundation.testbed.plugins.plugin_utils.history import Operation

SHOWN = 12
"""Operations of one anomaly."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with one key, and the operations that show it."""

    key: str
    sentence: str
    operations: Sequence[Operation]


def result_of(
    name: str,
    keys: int,
    operations: int,
    findings: Iterable[Finding],
    doubts: Mapping[str, str],
    why_empty: str,
) -> CheckResult:
    """Return the result of a check: of each key the first finding; `doubts` are keys that are undecided.

    `why_empty` says why there was nothing to check; empty when there was.
    """
    first: dict[str, Finding] = {}
    for finding in findings:
        first.setdefault(finding.key, finding)
    undecided = {key: why for key, why in doubts.items() if key not in first}
    detail = {
        "keys": keys, "operations": operations, "undecided": len(undecided), "failed_keys": sorted(first),
    }  # fmt: skip
    if first:
        anomalies = [
            anomaly(key, f"{key}: {finding.sentence}", sorted(finding.operations, key=_invoke_ns)[:SHOWN])
            for key, finding in sorted(first.items())
        ]
        more = f" (and {len(first) - 1} more of {keys} keys)" if len(first) > 1 else ""
        return CheckResult(name, "fail", anomalies, detail, anomalies[0]["message"] + more)
    if undecided:
        key, why = min(undecided.items())
        return CheckResult(
            name, "unknown", [], detail, f"{len(undecided)} of {keys} keys undecided; {key}: {why}"
        )
    return CheckResult(name, "unknown" if why_empty else "pass", [], detail, why_empty)


def _invoke_ns(operation: Operation) -> int:
    return operation.invoke_ns
