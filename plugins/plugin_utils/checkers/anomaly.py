# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a checker shows what is wrong with a key: one sentence, and the operations that prove it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils.history import Operation


def anomaly(
    key: str,
    message: str,
    operations: Iterable[Operation],
    shown: Callable[[Operation], Any] = lambda one: one.value,
) -> dict[str, Any]:
    """Return the record of an anomaly, as in ``docs/records.md``; the judge fills in the faults.

    `shown` gives the value of an operation as the diagram has room for it.
    """
    ordered = sorted(operations, key=lambda one: (one.invoke_ns, one.op))
    records = [_record(one, shown(one)) for one in ordered]
    times = [time for one in records for time in (one["invoke_s"], one["complete_s"]) if time is not None]
    return {
        "key": key,
        "message": message,
        "operations": records,
        "window_s": [min(times, default=0.0), max(times, default=0.0)],
        "faults": [],
    }


def ended_ns(operation: Operation) -> int:
    """Return when an operation was answered; when it was asked, where nothing answered."""
    return operation.invoke_ns if operation.complete_ns is None else operation.complete_ns


def ended_at(operation: Operation) -> str:
    """Return the same for a sentence."""
    return f"{ended_ns(operation) / 1e9:.3f} s"


def who(operation: Operation) -> str:
    """Return who did an operation, for a sentence."""
    return operation.node or operation.client or f"process {operation.process}"


def _record(one: Operation, value: Any) -> dict[str, Any]:
    open_end = one.outcome == "info" or one.complete_ns is None
    return {
        "op": one.op, "process": one.process, "client": one.client, "node": one.node, "f": one.f,
        "value": list(value) if isinstance(value, tuple) else value, "invoke_s": one.invoke_ns / 1e9,
        "complete_s": None if open_end else ended_ns(one) / 1e9, "outcome": one.outcome,
    }  # fmt: skip
