# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A headless Chromium, Debian's own: the pages are opened from their files, as a user does."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ansible_collections.foundation.testbed.plugins.plugin_utils.conclude import publish
from ansible_collections.foundation.testbed.plugins.plugin_utils.judge import judge_records
from ansible_collections.foundation.testbed.tests.support import synthetic_metrics
from ansible_collections.foundation.testbed.tests.support.chromium import chromium
from ansible_collections.foundation.testbed.tests.support.synthetic_run import Shape, write_run

SHAPE = Shape(rate_per_s=50.0)
KINDS = {"pass": SHAPE, "fail": replace(SHAPE, stale=True), "unknown": replace(SHAPE, proved=False)}


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """A folder with a run of each verdict, all that is published of it, and the index."""
    folder = tmp_path_factory.mktemp("runs")
    for kind, shape in KINDS.items():
        run = write_run(folder / f"20261123T231500Z-{kind}", shape)
        (run / "metrics.json").write_text(json.dumps(synthetic_metrics.metrics(shape)))
        lines = (json.dumps(probe) + "\n" for probe in synthetic_metrics.probes(shape))
        (run / "probes.jsonl").write_text("".join(lines))
        results, records = judge_records(run)
        assert results.verdict == kind, results.reasons
        assert publish(run, results.as_record(), records) == []
    return folder


@pytest.fixture(scope="session", name="chromium")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver
