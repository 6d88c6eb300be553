# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of `foundation.testbed.watch`."""

from __future__ import annotations

import json
import time
from pathlib import Path

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.foundation.testbed.plugins.plugin_utils import run_folder
from ansible_collections.foundation.testbed.plugins.plugin_utils.progress import progress_line


class ActionModule(ActionBase):
    """Prints a line every few seconds until the observer's agent has come to its end."""

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            {
                "folder": {"type": "path", "required": True},
                "plan": {"type": "dict", "required": True},
                "start_wall_ns": {"type": "int", "required": True},
                "interval_s": {"type": "float", "default": 2.0},
            }
        )
        folder, plan = Path(options["folder"]), options["plan"]
        final_read_s = max([part["final_read_timeout_s"] for part in plan["load"]], default=0)
        give_up_s = plan["duration_s"] + final_read_s + 30
        while True:
            now_s = time.time() - options["start_wall_ns"] / 1e9
            done, progress = self._look(folder.name)
            Display().display(f"  {progress_line(plan, now_s, progress)}")
            if done or now_s > give_up_s:
                run_folder.mark_step(folder, "collect")
                return {**result, "changed": False, "finished": done}
            time.sleep(options["interval_s"])

    def _look(self, run: str) -> tuple[bool, list]:
        """Ask the observer's files; a connection that fails is no reason to stop a run that needs none."""
        script = f"cd /var/lib/foundation-testbed/runs/{run} && cat progress.json; echo; ls done.json"
        try:
            output = self._low_level_execute_command(script, executable="/bin/sh")["stdout"]
        except AnsibleConnectionFailure:
            return False, []
        lines = output.strip().splitlines()
        progress = [json.loads(line) for line in lines if line.startswith("{")]
        return "done.json" in lines, progress
