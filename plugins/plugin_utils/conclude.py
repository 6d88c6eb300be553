# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The end of a run: verdict, report, and what the playbook returns."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ansible.utils.display import Display
from ansible_collections.foundation.testbed.plugins.plugin_utils import run_folder
from ansible_collections.foundation.testbed.plugins.plugin_utils.exit_status import ExitStatus
from ansible_collections.foundation.testbed.plugins.plugin_utils.judge import judge_records
from ansible_collections.foundation.testbed.plugins.plugin_utils.junit import junit_xml
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.index import write_index
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.markdown import summary
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.page import write_report
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.sentence import sentence
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.summary import verdict_table
from ansible_collections.foundation.testbed.plugins.plugin_utils.run_records import (
    RunRecords,
    write_json,
    write_text,
)

STATUS_OF_VERDICT = {
    "pass": ExitStatus.PASS,
    "fail": ExitStatus.VERDICT_FAIL,
    "unknown": ExitStatus.VERDICT_UNKNOWN,
}


def conclude(folder: Path, preflight: Sequence[str] = (), status: ExitStatus | None = None) -> dict[str, Any]:
    """Judge, write the reports, print the table; returns a task result that fails unless the verdict is pass.

    `preflight` holds the reasons why nothing was started; `status` is the exit status to give instead of the
    verdict's.
    """
    results, records = judge_records(folder, preflight=preflight)
    record = results.as_record()
    run = run_folder.update(folder)
    if "wall_s" not in run:
        run_folder.mark_step(folder, None)
        wall_s = round((time.time_ns() - run["began_wall_ns"]) / 1e9, 3)
        run = run_folder.update(folder, wall_s=wall_s)
        duration_s = None if preflight else records.plan.get("duration_s")
        record["overhead_s"] = None if duration_s is None else round(wall_s - duration_s, 3)
        write_json(folder / "results.json", record)
    records.run = run
    problems = publish(folder, record, records)
    told = "".join(f"\n{problem}" for problem in problems)
    Display().display(f"\n{verdict_table(record)}\n\nreport  {folder / 'report.html'}{told}\n")
    final = STATUS_OF_VERDICT[results.verdict] if status is None else status
    return {
        "changed": True,
        "verdict": results.verdict,
        "reasons": results.reasons,
        "report": str(folder / "report.html"),
        "problems": problems,
        "failed": final != ExitStatus.PASS,
        "testbed_exit": int(final),
        "msg": sentence(record, records.plan),
    }


def publish(folder: Path, record: dict[str, Any], records: RunRecords) -> list[str]:
    """Write all that is made from the results; what fails is one sentence, and keeps nothing else from being.

    The verdict stands in results.json by now: no mistake in a report may lose a run.
    """
    writers: dict[str, Callable[[], object]] = {
        "junit.xml": lambda: write_text(folder / "junit.xml", junit_xml(record, records.run)),
        "summary.md": lambda: _summary(folder, record, records),
        "report.html": lambda: write_report(folder, records),
        "index.html": lambda: write_index(folder.resolve().parent),
    }
    problems = []
    for name, write in writers.items():
        try:
            write()
        except Exception as error:
            problems.append(f"{name} could not be written: {type(error).__name__}: {error}")
    return problems


def _summary(folder: Path, record: dict[str, Any], records: RunRecords) -> None:
    """Write summary.md, and add it to the page of the job where the CI names a file for that."""
    text = summary(record, records.plan, records.run)
    write_text(folder / "summary.md", text)
    job_page = os.environ.get("GITHUB_STEP_SUMMARY")
    if job_page:
        with Path(job_page).open("a", encoding="utf-8") as stream:
            stream.write(f"{text}\n")
