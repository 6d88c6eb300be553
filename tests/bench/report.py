# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measure the report of a run of one million operations: the time to write it, and its size."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ansible_collections.foundation.testbed.plugins.plugin_utils.judge import judge_records
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.page import write_report
from ansible_collections.foundation.testbed.tests.bench.lab import say
from ansible_collections.foundation.testbed.tests.support.synthetic_run import Shape, write_run

SHAPE = Shape(duration_s=500.0, rate_per_s=2000.0, keys=100, cut_s=100.0, heal_s=300.0)


def main(times: int = 3) -> None:
    """Write the report anew some times: after the judgement, as a run does, and from the folder alone."""
    with tempfile.TemporaryDirectory(prefix="testbed-bench-") as parent:
        folder = write_run(Path(parent) / "run", SHAPE)
        _, records = judge_records(folder, checkers={})
        after = [_seconds(lambda: write_report(folder, records)) for _ in range(times)]
        records.operations.clear()
        alone = [_seconds(lambda: write_report(folder)) for _ in range(times)]
        size_mb = (folder / "report.html").stat().st_size / 1e6
    say("report of 1,000,000 operations, of a run just judged", after, "s", "<= 10")
    say("report of 1,000,000 operations, its records read anew", alone, "s", "none")
    say("size of that report", [size_mb], "MB", "<= 4")


def _seconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began
