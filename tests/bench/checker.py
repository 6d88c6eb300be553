# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measure the register checker on public histories with known verdicts and on histories like our load's.

Run it with the collection on the path: ``PYTHONPATH=.collections python tests/bench/checker.py``.
"""

from __future__ import annotations

import gzip
import json
import random
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.linearizable import (
    CheckResult,
    check_linearizable,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.history import (
    FIELDS,
    Operation,
    read_history,
)
from ansible_collections.foundation.testbed.tests.support.public_histories import histories_folder, load_all
from ansible_collections.foundation.testbed.tests.support.synthetic_histories import (
    Shape,
    make_stale,
    synthetic_history,
)

SHAPES = {
    "unique values, 5 clients": Shape(clients=5),
    "unique values, 8 clients": Shape(clients=8),
    "unique values, 10 clients": Shape(clients=10),
    "unique values, 20 clients": Shape(clients=20),
    "unique values, 10 clients, 30 % indeterminate": Shape(clients=10, indeterminate=0.3),
    "5 values, 5 clients": Shape(clients=5, values=5),
    "5 values, 8 clients": Shape(clients=8, values=5),
    "5 values, 10 clients": Shape(clients=10, values=5),
}


def public_figures() -> dict[str, float]:
    """Return how many public histories were judged right, and in what time."""
    folder = histories_folder()
    if not (folder / "verdicts.json").exists():
        return {}
    histories = list(load_all(folder))
    began = time.perf_counter()
    results = [check_linearizable(one.operations, one.model) for one in histories]
    seconds = time.perf_counter() - began
    right = sum(
        result.verdict == ("pass" if one.linearizable else "fail")
        for one, result in zip(histories, results, strict=True)
    )
    return {"histories": len(histories), "right": right, "seconds": seconds}


def synthetic_figures(shape: Shape, keys: int = 100) -> dict[str, float | str]:
    """Return the speed on a history that is right, and on the same with one stale read in one key."""
    operations = synthetic_history(keys, shape)
    good, good_seconds = _timed(operations)
    bad, bad_seconds = _timed(_spoilt(operations))
    return {
        "operations": len(operations), "verdict": good.verdict, "seconds": good_seconds,
        "operations_per_s": len(operations) / good_seconds,
        "stale_verdict": bad.verdict, "stale_seconds": bad_seconds,
    }  # fmt: skip


def reader_seconds(operations: int = 50_000) -> float:
    """Return the processor time in which a history of twice so many lines is read."""
    rows = [
        [kind, "observer1-0", op, 0, "failover", "write", f"k{op % 100}", op, op, op, "n1", None, "main"]
        for op in range(operations)
        for kind in ("invoke", "ok")
    ]
    header = {"format": 1, "generator": "observer1-0", "start_wall_ns": 0, "fields": list(FIELDS)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.jsonl.gz"
        path.write_bytes(gzip.compress("\n".join(json.dumps(line) for line in [header, *rows]).encode(), 1))
        began = time.process_time()
        read = len(read_history(path))
        seconds = time.process_time() - began
    if read != operations:
        raise RuntimeError(f"{read} of {operations} operations were read")
    return seconds


def main() -> dict[str, dict[str, float | str]]:
    """Print and return all figures."""
    figures: dict[str, dict[str, float | str]] = {}
    public = public_figures()
    if public:
        figures["public histories"] = {**public}
        print(
            f"public histories: {public['right']} of {public['histories']} right in {public['seconds']:.2f} s"
        )
    else:
        print(f"public histories: none at {histories_folder()}")
    for title, shape in SHAPES.items():
        one = figures[title] = synthetic_figures(shape)
        print(
            f"{title}: {one['operations']} operations {one['verdict']} in {one['seconds']:.2f} s "
            f"({one['operations_per_s']:.0f}/s); one stale read: {one['stale_verdict']} "
            f"in {one['stale_seconds']:.2f} s"
        )
    seconds = reader_seconds()
    figures["history reader"] = {"cpu_s": seconds}
    print(f"history reader: 100,000 lines in {seconds:.2f} s of processor time")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures["process"] = {"peak_mib": peak}
    print(f"peak memory: {peak:.0f} MiB")
    return figures


def _timed(operations: Sequence[Operation]) -> tuple[CheckResult, float]:
    began = time.perf_counter()
    result = check_linearizable(operations, max_seconds=30.0)
    return result, time.perf_counter() - began


def _spoilt(operations: list[Operation]) -> list[Operation]:
    """Spoil one key in the middle of the history."""
    key = operations[len(operations) // 2].key
    spoilt = make_stale([one for one in operations if one.key == key], random.Random(1))
    return [one for one in operations if one.key != key] + spoilt


if __name__ == "__main__":
    main()
