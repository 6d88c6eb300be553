# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of `foundation.testbed.confirm`."""

from __future__ import annotations

import time
from pathlib import Path

from ansible.plugins.action import ActionBase
from ansible_collections.foundation.testbed.plugins.plugin_utils import main_process, run_folder
from ansible_collections.foundation.testbed.plugins.plugin_utils.admission import BEFORE_THE_START


class ActionModule(ActionBase):
    """Tells whether every host is armed; a run that is not armed everywhere is to be healed, not watched."""

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            {"folder": {"type": "path", "required": True}, "answers": {"type": "dict", "required": True}}
        )
        folder = Path(options["folder"])
        aborted = [
            f"{host} was not armed: {answer.get('msg', 'it gave no answer')}"
            for host, answer in options["answers"].items()
            if not answer.get("armed")
        ]
        if main_process.interrupted():
            aborted.insert(0, BEFORE_THE_START)
            run_folder.update(folder, stopped={"by": "user", "at_s": None, "reason": BEFORE_THE_START})
        run_folder.mark_step(folder, "run")
        run_folder.update(folder, aborted=aborted, armed_at_ns=time.time_ns())
        return {**result, "changed": False, "aborted": aborted}
