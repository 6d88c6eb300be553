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
from ansible_collections.foundation.testbed.plugins.plugin_utils import main_process, run_folder
from ansible_collections.foundation.testbed.plugins.plugin_utils.watching import Board, Watch, give_up_s

ASK_EVERY_S = 1.0
HEED_EVERY_S = 0.1


class ActionModule(ActionBase):
    """Shows how the run goes on until it ends, or is to end: by the user's wish or its own condition.

    Each observer has its own worker; the first of them speaks for all.
    """

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
        own, observers = task_vars["inventory_hostname"], task_vars["ansible_play_hosts"]
        board, watch = Board(folder), Watch(plan, options["interval_s"], Display())
        finished = stopped = False
        while not (finished or stopped):
            now_s = time.time() - options["start_wall_ns"] / 1e9
            board.post(own, *self._look(folder.name))
            finished, generators = board.read(observers if own == observers[0] else [own])
            if own == observers[0]:
                stopped = watch.look(now_s, generators, main_process.interrupted())
                if stopped:
                    run_folder.update(folder, stopped=stopped)
            stopped = stopped or run_folder.update(folder).get("stopped")
            if now_s > give_up_s(plan):
                break
            if not (finished or stopped):
                heed_for(ASK_EVERY_S)
        if own == observers[0]:
            run_folder.mark_step(folder, "collect")
        return {**result, "changed": False, "finished": finished, "stopped": bool(stopped)}

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


def heed_for(seconds: float) -> None:
    """Wait so long, or until the user interrupts."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not main_process.interrupted():
        time.sleep(HEED_EVERY_S)
