# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check that every key of a history behaves like one object that does one thing at a time.

A history is linearizable when each of its keys is, so keys are searched apart, in rounds with growing
budgets: a key that explodes cannot hide the violation of another. What the budgets leave undecided is
`unknown`, never `pass`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.anomaly import anomaly
from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.bounded import (
    BoundsError,
    run_bounded,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.models import (
    Entry,
    Model,
    RegisterModel,
    entries_by_key,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.shrink import shrink
from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.wgl import Search
from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.witness import (
    Proof,
    general_sentence,
    prove,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.history import Operation

Verdict = Literal["pass", "fail", "unknown"]

NAME = "linearizable-register"
FIRST_BUDGET = 2_000
SLICE = 5_000
GRACE_SECONDS = 5.0
EXPLAIN_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a checker concluded, and from what."""

    name: str
    verdict: Verdict
    anomalies: list[dict[str, Any]] = field(default_factory=list)
    detail: dict[str, Any] = field(default_factory=dict)
    reason: str = ""

    def as_record(self) -> dict[str, Any]:
        """Return the entry of ``checks`` in results.json."""
        return {
            "name": self.name, "verdict": self.verdict, "anomalies": self.anomalies, "detail": self.detail,
            "reason": self.reason,
        }  # fmt: skip


@dataclass(slots=True)
class _Task:
    """The state of one key: its entries, its search and what is known."""

    key: str
    entries: list[Entry]
    search: Search | None = None
    proof: Proof | None = None
    steps: int = 0
    verdict: Verdict | None = None
    why: str = ""

    def close(self, verdict: Verdict, why: str = "") -> None:
        """Note the verdict and give back the memory of the search."""
        self.verdict, self.why, self.search = verdict, why, None


def check_linearizable(
    operations: Sequence[Operation],
    model: Model | None = None,
    *,
    max_steps: int = 3_000_000,
    max_seconds: float = 60.0,
    clock_error_ns: int = 0,
    name: str = NAME,
) -> CheckResult:
    """Check a history in this process.

    It takes at most `max_steps` configurations per key and about `max_seconds` in all.
    """
    began = time.monotonic()
    model = model or RegisterModel()
    keys = entries_by_key((one for one in operations if one.outcome != "drop"), model, clock_error_ns)
    tasks = [_Task(key, entries) for key, entries in sorted(keys.items())]
    deadline = began + max_seconds
    _search_all(tasks, model.initial, max_steps, deadline)
    failed = [task for task in tasks if task.verdict == "fail"]
    anomalies = _explain_all(failed, model.initial, min(deadline, time.monotonic() + EXPLAIN_SECONDS))
    return _result(name, tasks, anomalies, time.monotonic() - began)


def check_linearizable_bounded(
    operations: Sequence[Operation],
    model: Model | None = None,
    *,
    max_steps: int = 3_000_000,
    max_seconds: float = 60.0,
    max_memory_bytes: int = 2 << 30,
    clock_error_ns: int = 0,
    name: str = NAME,
) -> CheckResult:
    """Check a history in a process of its own, with caps on its memory and time.

    Never raises and never hangs: a check that was killed, crashed or ran out of memory is `unknown`, and the
    reason says so.
    """
    began = time.monotonic()

    def work() -> CheckResult:
        return check_linearizable(
            operations,
            model,
            max_steps=max_steps,
            max_seconds=max_seconds,
            clock_error_ns=clock_error_ns,
            name=name,
        )

    limit = max_seconds + GRACE_SECONDS
    try:
        return run_bounded(work, max_seconds=limit, max_memory_bytes=max_memory_bytes)
    except (BoundsError, OSError) as problem:
        reason = f"the check gave no verdict: {problem}"
    keys = {operation.key for operation in operations if operation.outcome != "drop"}
    detail = _detail(len(keys), len(operations), len(keys), [], time.monotonic() - began)
    return CheckResult(name, "unknown", [], detail, reason)


def _search_all(tasks: list[_Task], initial: Any, max_steps: int, deadline: float) -> None:
    """Search the keys in rounds until each has a verdict, a budget is spent, or a round found a violation."""
    budget = min(FIRST_BUDGET, max_steps)
    waiting = tasks
    while waiting:
        for task in waiting:
            _advance(task, initial, budget, deadline)
        waiting = [task for task in waiting if task.verdict is None and not _proven(task, initial)]
        failed = any(task.verdict == "fail" for task in tasks)
        if failed or budget >= max_steps:
            for task in waiting:
                task.close("unknown", f"after {task.steps} steps")
            return
        budget = min(budget * 4, max_steps)


def _advance(task: _Task, initial: Any, budget: int, deadline: float) -> None:
    """Search one key on until it has spent `budget` steps in all."""
    try:
        if task.search is None:
            task.search = Search(task.entries, initial)
        while task.verdict is None and task.steps < budget:
            if time.monotonic() > deadline:
                task.close("unknown", "when the time was up")
                return
            found = task.search.run(min(SLICE, budget - task.steps))
            task.steps = task.search.steps
            if found is not None:
                task.close("pass" if found else "fail")
    except MemoryError:
        task.close("unknown", f"out of memory after {task.steps} steps")


def _proven(task: _Task, initial: Any) -> bool:
    """Look whether a pattern settles a key that the first round of the search did not."""
    if task.steps > FIRST_BUDGET:
        return False
    task.proof = prove(task.entries, initial)
    if task.proof is not None:
        task.close("fail")
    return task.proof is not None


def _explain_all(failed: list[_Task], initial: Any, deadline: float) -> list[dict[str, Any]]:
    """Return the anomaly of each key that failed; the time is shared fairly among them."""
    anomalies = []
    for left, task in zip(range(len(failed), 0, -1), failed, strict=True):
        share = max(deadline - time.monotonic(), 0.0) / left
        anomalies.append(_explain(task, initial, share))
    return anomalies


def _explain(task: _Task, initial: Any, max_seconds: float) -> dict[str, Any]:
    """Return the anomaly of one key: a pattern that proves it, else the smallest set without an order."""
    kept, smallest = task.entries, False
    try:
        proof = task.proof or prove(task.entries, initial)
        if proof is not None:
            return _anomaly(task.key, proof.entries, proof.sentence)
        kept, smallest = shrink(task.entries, initial, max_seconds)
    except MemoryError:
        pass
    return _anomaly(task.key, kept, general_sentence(kept, smallest))


def _anomaly(key: str, entries: Sequence[Entry], sentence: str) -> dict[str, Any]:
    return anomaly(key, f"key {key}: {sentence}", [entry.operation for entry in entries])


def _result(name: str, tasks: list[_Task], anomalies: list[dict[str, Any]], seconds: float) -> CheckResult:
    undecided = [task for task in tasks if task.verdict == "unknown"]
    failed = [task.key for task in tasks if task.verdict == "fail"]
    operations = sum(len(task.entries) for task in tasks)
    detail = _detail(len(tasks), operations, len(undecided), failed, seconds)
    if failed:
        more = f" (and {len(failed) - 1} more of {len(tasks)} keys)" if len(failed) > 1 else ""
        return CheckResult(name, "fail", anomalies, detail, anomalies[0]["message"] + more)
    if undecided:
        first = undecided[0]
        reason = f"{len(undecided)} of {len(tasks)} keys undecided; key {first.key} {first.why}"
        return CheckResult(name, "unknown", [], detail, reason)
    if not operations:
        return CheckResult(name, "unknown", [], detail, "there was no operation to check")
    return CheckResult(name, "pass", [], detail, "")


def _detail(keys: int, operations: int, undecided: int, failed: list[str], seconds: float) -> dict[str, Any]:
    return {
        "keys": keys, "operations": operations, "undecided": undecided, "failed_keys": failed,
        "seconds": round(seconds, 3),
    }  # fmt: skip
