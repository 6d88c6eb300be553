# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A check ends in bounded time and memory, whatever the history."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, replace
from typing import Any

import pytest
from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.bounded import (
    BoundsError,
    run_bounded,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.linearizable import (
    check_linearizable,
    check_linearizable_bounded,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.models import AppendModel, Effect
from ansible_collections.foundation.testbed.plugins.plugin_utils.history import Operation
from ansible_collections.foundation.testbed.tests.support.register_histories import history

MIB = 1 << 20


def explosive() -> list[Operation]:
    """Thirty concurrent writes, each compared with once, and two reads that no last write explains."""
    writes = [f"n1 write {value} 0-100" for value in range(30)]
    mismatches = [f"n2 cas {value}:{value + 100} 0-100 mismatch" for value in range(30)]
    return history(*writes, *mismatches, "n3 read 3 101-104", "n4 read 4 101-104", key="bomb")


def test_the_budget_of_steps_gives_unknown() -> None:
    result = check_linearizable(explosive(), max_steps=5_000)
    assert result.verdict == "unknown"
    assert result.detail["undecided"] == 1
    assert "1 of 1 keys undecided; key bomb after 5000 steps" in result.reason


def test_the_budget_of_time_gives_unknown() -> None:
    began = time.monotonic()
    result = check_linearizable(explosive(), max_seconds=0.5)
    assert (result.verdict, time.monotonic() - began < 3) == ("unknown", True)
    assert "time was up" in result.reason


def test_a_violation_is_found_beside_a_key_that_explodes() -> None:
    operations = explosive() + history("n1 write 5 0-1", "n2 read - 2-3", key="small")
    result = check_linearizable(operations, max_seconds=5)
    assert result.verdict == "fail"
    assert result.detail["failed_keys"] == ["small"]
    assert result.detail["undecided"] == 1


def test_the_cap_on_memory_gives_unknown() -> None:
    base = history("n1 write 0 0-9")[0]
    appends = [replace(base, f="append", value=str(number) * MIB) for number in range(9)]
    final = replace(base, f="get", value="x", invoke_ns=10**11, complete_ns=10**11 + 1)
    result = check_linearizable_bounded([*appends, final], AppendModel(), max_memory_bytes=64 * MIB)
    assert result.verdict == "unknown"
    assert "memory" in result.reason


def test_what_a_pattern_proves_needs_no_search() -> None:
    operations = [*explosive(), *history("n4 write 900 105-106", "n5 read 3 107-108", key="bomb")]
    result = check_linearizable(operations, max_steps=100)
    assert result.verdict == "fail"
    assert "n5 read 3 at 108.000 s although 900 was written by 106.000 s" in result.reason


def test_a_verdict_comes_back_from_the_child() -> None:
    operations = history("n1 write 5 0-1", "n2 read - 2-3")
    result = check_linearizable_bounded(operations)
    assert result.verdict == "fail"
    assert result.anomalies == check_linearizable(operations).anomalies


@dataclass(frozen=True)
class _Broken:
    initial: Any = None

    def effect(self, operation: Operation) -> Effect | None:
        raise RuntimeError(f"no idea of {operation.f}")


def test_a_checker_that_breaks_gives_unknown() -> None:
    result = check_linearizable_bounded(history("n1 write 5 0-1"), _Broken())
    assert result.verdict == "unknown"
    assert "RuntimeError: no idea of write" in result.reason
    assert result.detail["undecided"] == 1


def test_a_history_of_another_model_gives_unknown() -> None:
    result = check_linearizable_bounded(history("n1 write 5 0-1"), AppendModel())
    assert "a string knows get, put and append, not 'write'" in result.reason


def test_a_child_that_dies_is_a_reason() -> None:
    with pytest.raises(BoundsError, match="its process died"):
        run_bounded(lambda: os.kill(os.getpid(), signal.SIGKILL), max_seconds=10, max_memory_bytes=64 * MIB)


def test_a_child_that_hangs_is_killed() -> None:
    began = time.monotonic()
    with pytest.raises(BoundsError, match=r"not done after 0\.3 s"):
        run_bounded(lambda: time.sleep(60), max_seconds=0.3, max_memory_bytes=64 * MIB)
    assert time.monotonic() - began < 5


def test_a_large_value_passes_through() -> None:
    assert len(run_bounded(lambda: "x" * MIB, max_seconds=10, max_memory_bytes=64 * MIB)) == MIB
