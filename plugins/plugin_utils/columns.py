# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The operations of a run as columns, so that criteria and charts stay quick for a million of them.

Only operations of phase ``main`` that were due within the declared duration are in the columns. All times are
seconds since the start instant of the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from ansible_collections.foundation.testbed.plugins.module_utils.load.answers import says_something
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ansible_collections.foundation.testbed.plugins.plugin_utils.history import Operation

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

OUTCOMES = ("ok", "fail", "info", "drop")
NS_PER_S = 1e9


@dataclass(frozen=True, slots=True)
class Columns:
    """One entry per operation, in the order of their intended times.

    ``intended_s`` and ``complete_s`` are seconds, the latter NaN without a completion; ``timeout_s`` is the
    time an operation was given, ``outcome`` an index into OUTCOMES, ``client`` one into ``clients``.
    ``answered`` tells whether the system gave an answer: ok, or in the negative (a comparison that failed).
    """

    intended_s: Floats
    complete_s: Floats
    timeout_s: Floats
    outcome: NDArray[np.int8]
    answered: Bools
    client: NDArray[np.int16]
    clients: tuple[str, ...]

    @property
    def latency_s(self) -> Floats:
        """Seconds from the intended send to the completion; NaN without a completion."""
        return self.complete_s - self.intended_s

    @property
    def sent(self) -> Bools:
        """Whether the generator sent the operation at all."""
        unsent: Bools = self.outcome == OUTCOMES.index("drop")
        return ~unsent

    def __len__(self) -> int:
        return len(self.intended_s)


def is_answered(operation: Operation) -> bool:
    """Whether the system answered: ok, or in the negative, such as "the comparison failed"."""
    return says_something(operation.outcome, operation.error)


def to_columns(operations: Iterable[Operation], plan: Mapping[str, Any]) -> Columns:
    """Turn the main operations that were due within the plan's duration into columns."""
    end_ns = float(plan.get("duration_s") or 0.0) * NS_PER_S
    due = [op for op in operations if op.phase == "main" and 0 <= op.intended_ns < end_ns]
    due.sort(key=attrgetter("intended_ns"))
    names = [op.client for op in due]
    clients = tuple(sorted(set(names)))
    index = {name: number for number, name in enumerate(clients)}
    timeouts = {part.get("generator"): _timeout_s(part) for part in plan.get("load") or []}
    outcomes = {name: number for number, name in enumerate(OUTCOMES)}
    count = len(due)
    return Columns(
        intended_s=np.fromiter((op.intended_ns for op in due), np.float64, count) / NS_PER_S,
        complete_s=_seconds([op.complete_ns for op in due]),
        timeout_s=np.fromiter((timeouts.get(op.generator, np.inf) for op in due), np.float64, count),
        outcome=np.fromiter((outcomes[op.outcome] for op in due), np.int8, count),
        answered=np.fromiter(map(is_answered, due), np.bool_, count),
        client=np.fromiter(map(index.__getitem__, names), np.int16, count),
        clients=clients,
    )


def quantile_ms(latency_s: Floats, share: float) -> float:
    """Return the smallest latency in ms that at least ``share`` of the operations did not exceed."""
    return float(np.quantile(latency_s, share, method="inverted_cdf") * 1000.0)


def failover_clients(plan: Mapping[str, Any]) -> frozenset[str]:
    """Names of the client groups that the plan does not pin to one node."""
    groups = (group for part in plan.get("load") or [] for group in part.get("clients") or [])
    return frozenset(str(group.get("name")) for group in groups if not group.get("pinned"))


def _timeout_s(part: Mapping[str, Any]) -> float:
    value = part.get("operation_timeout_s")
    return float(value) if isinstance(value, (int, float)) else np.inf


def _seconds(times_ns: list[int | None]) -> Floats:
    return np.array([np.nan if time is None else time for time in times_ns], dtype=np.float64) / NS_PER_S
