# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of `foundation.testbed.judge`."""

from __future__ import annotations

from pathlib import Path

from ansible.plugins.action import ActionBase
from ansible_collections.foundation.testbed.plugins.plugin_utils import run_folder
from ansible_collections.foundation.testbed.plugins.plugin_utils.conclude import conclude
from ansible_collections.foundation.testbed.plugins.plugin_utils.exit_status import ExitStatus
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import InputError


class ActionModule(ActionBase):
    """Puts the records together, judges them and writes the report."""

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            {"run": {"type": "str", "required": True}, "runs_dir": {"type": "path", "required": True}}
        )
        try:
            folder = run_folder.find_run(Path(options["runs_dir"]), options["run"])
        except InputError as error:
            return {**result, "failed": True, "msg": str(error), "testbed_exit": int(ExitStatus.BAD_INPUT)}
        if (folder / "nodes").is_dir():
            run_folder.merge(folder)
        if "wall_s" not in run_folder.update(folder):
            run_folder.mark_step(folder, "judge")
        refused = run_folder.update(folder).get("refused")
        if refused:  # nothing was recorded that could be judged
            status = ExitStatus(refused["status"])
            return {**result, **conclude(folder, preflight=refused["reasons"], status=status)}
        record = run_folder.update(folder)
        if record.get("aborted"):
            status = ExitStatus.VERDICT_UNKNOWN if "stopped" in record else ExitStatus.TESTBED_FAILED
            return {**result, **conclude(folder, preflight=record["aborted"], status=status)}
        return {**result, **conclude(folder)}
