# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of `foundation.testbed.steady_state`."""

from __future__ import annotations

import time
from pathlib import Path

from ansible.plugins.action import ActionBase
from ansible_collections.foundation.testbed.plugins.plugin_utils import main_process, run_folder, steady_state


class ActionModule(ActionBase):
    """Judges whether the steady state is back after a run, records it, and says whether to ask again."""

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            {
                "folder": {"type": "path", "required": True},
                "plan": {"type": "dict", "required": True},
                "nodes": {"type": "list", "elements": "str", "required": True},
                "start_wall_ns": {"type": "int", "required": True},
                "answers": {"type": "dict", "required": True},
            }
        )
        folder, plan = Path(options["folder"]), options["plan"]
        after_s = time.time() - options["start_wall_ns"] / 1e9 - plan["duration_s"]
        found = steady_state.judged(plan["steady_state"], options["nodes"], options["answers"])
        if main_process.interrupted():
            found = [steady_state.not_awaited(entry) for entry in found]
        held = all(entry["held"] for entry in found)
        known = run_folder.update(folder).get("steady_state") or {}
        run_folder.update(folder, steady_state={**known, "after": found, "after_s": round(after_s, 3)})
        again = not held and after_s < plan["recovery_wait_s"] and not main_process.interrupted()
        return {**result, "changed": False, "held": held, "again": again}
