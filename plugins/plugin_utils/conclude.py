# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The end of a run: verdict, report, and what the playbook returns."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible.utils.display import Display
from ansible_collections.foundation.testbed.plugins.plugin_utils import run_folder
from ansible_collections.foundation.testbed.plugins.plugin_utils.exit_status import ExitStatus
from ansible_collections.foundation.testbed.plugins.plugin_utils.judge import judge
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.page import write_report
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.summary import verdict_table
from ansible_collections.foundation.testbed.plugins.plugin_utils.run_records import write_json

STATUS_OF_VERDICT = {
    "pass": ExitStatus.PASS,
    "fail": ExitStatus.VERDICT_FAIL,
    "unknown": ExitStatus.VERDICT_UNKNOWN,
}


def conclude(folder: Path, preflight: Sequence[str] = (), status: ExitStatus | None = None) -> dict[str, Any]:
    """Judge, write the report, print the table; returns a task result that fails unless the verdict is pass.

    `preflight` holds the reasons why nothing was started; `status` is the exit status to give instead of the
    verdict's.
    """
    results = judge(folder, preflight=preflight)
    record = results.as_record()
    run = run_folder.update(folder)
    if "wall_s" not in run:
        run_folder.mark_step(folder, None)
        wall_s = round((time.time_ns() - run["began_wall_ns"]) / 1e9, 3)
        run_folder.update(folder, wall_s=wall_s)
        plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
        record["overhead_s"] = None if preflight else round(wall_s - plan["duration_s"], 3)
        write_json(folder / "results.json", record)
    report = write_report(folder)
    Display().display(f"\n{verdict_table(record)}\n\nreport  {report}\n")
    final = STATUS_OF_VERDICT[results.verdict] if status is None else status
    return {
        "changed": True,
        "verdict": results.verdict,
        "reasons": results.reasons,
        "report": str(report),
        "failed": final != ExitStatus.PASS,
        "testbed_exit": int(final),
        "msg": f"verdict {results.verdict}: {'; '.join(results.reasons) or 'every promise was kept'}",
    }
