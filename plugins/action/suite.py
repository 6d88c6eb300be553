# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of `foundation.testbed.suite`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from ansible import context
from ansible.plugins.action import ActionBase
from ansible.utils.color import ANSIBLE_COLOR
from ansible.utils.display import Display
from ansible_collections.foundation.testbed.plugins.plugin_utils import run_folder, suite
from ansible_collections.foundation.testbed.plugins.plugin_utils.cluster_view import cluster_view
from ansible_collections.foundation.testbed.plugins.plugin_utils.exit_status import ExitStatus
from ansible_collections.foundation.testbed.plugins.plugin_utils.importing import Importing
from ansible_collections.foundation.testbed.plugins.plugin_utils.run_records import write_json, write_text
from ansible_collections.foundation.testbed.plugins.plugin_utils.scenario import SCENARIOS_DIR
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import InputError


class ActionModule(ActionBase):
    """Runs scenarios one after the other, each in an `ansible-playbook` of its own."""

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            {
                "scenarios": {"type": "str", "required": True},
                "scenarios_dir": {"type": "path", "default": str(SCENARIOS_DIR)},
                "runs_dir": {"type": "path", "required": True},
                "playbook": {"type": "path", "required": True},
                "allow_unmapped": {"type": "bool", "default": False},
                "experiment_nodes": {"type": "list", "elements": "str", "default": []},
            }
        )
        try:
            folder = Path(options["scenarios_dir"])
            how = Importing(options["allow_unmapped"], options["experiment_nodes"])
            chosen = suite.choose(options["scenarios"], cluster_view(task_vars), folder, how)
        except InputError as error:
            return {**result, "failed": True, "msg": str(error), "testbed_exit": int(ExitStatus.BAD_INPUT)}
        for name, reason in chosen.left_out.items():
            Display().display(f"left out: {name}, {reason}")
        with Child() as child:
            runs = self._run_all(child, chosen.paths, Path(options["runs_dir"]), options["playbook"])
        if self._task.check_mode:
            statuses = [run.exit_status for run in runs if run.exit_status]
            return {**result, "failed": bool(statuses), "testbed_exit": next(iter(statuses), 0)}
        return {**result, **_finish(Path(options["runs_dir"]), chosen, runs, child.stopped)}

    def _run_all(self, child, paths, runs_dir, playbook):
        runs = []
        for number, path in enumerate(paths, 1):
            if child.stopped:
                break
            Display().banner(f"SCENARIO {number} of {len(paths)}: {path.stem}")
            before = run_folder.all_runs(runs_dir)
            status = child.run(suite.child_arguments(sys.argv, context.CLIARGS["args"], playbook, path))
            made = sorted(run_folder.all_runs(runs_dir) - before)
            if made:
                runs.append(suite.run_of(made[-1], path.stem, status))
            else:
                runs.append(suite.Run(path.stem, exit_status=status, reasons=["It was refused, or stopped."]))
        return runs


class Child:
    """The `ansible-playbook` that runs; Ctrl-C is handed on to it, and it ends in its own way."""

    def __init__(self):
        self.stopped = False
        self._process = None

    def __enter__(self):
        # Ansible's own process hands Ctrl-C on to this one (SIGINT), and ends it a little later (SIGTERM).
        self._handlers = {
            number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(self, *_error):
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _stop(self, _number, _frame):
        if not self.stopped and self._process:
            self._process.send_signal(signal.SIGINT)
        self.stopped = True

    def run(self, arguments):
        """Run a command to its end, and show what it says; returns its exit status."""
        colour = {"ANSIBLE_FORCE_COLOR": "1"} if ANSIBLE_COLOR else {}
        with subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, **colour},
            start_new_session=True,
        ) as self._process:
            for line in self._process.stdout:
                if not self.stopped:  # nobody reads what this process says any more
                    Display().display(line.rstrip("\n"))
        return self._process.returncode


def _finish(runs_dir, chosen, runs, stopped):
    """Write what became of all; returns the fields of the task's result."""
    folder = run_folder.free_folder(runs_dir, run_folder.run_name("all", datetime.now(UTC)))
    record = suite.as_record(folder.name, chosen, runs, stopped)
    write_json(folder / "suite.json", record)
    write_text(folder / "suite.md", suite.markdown(record))
    if not stopped:
        Display().display(f"\n{suite.table(record)}\n\nsuite  {os.path.relpath(folder / 'suite.md')}")
    status = suite.VERDICTS[record["verdict"]]
    return {
        "changed": True,
        "failed": status != ExitStatus.PASS,
        "msg": f"verdict {record['verdict']} of {len(record['runs'])} scenarios",
        "verdict": record["verdict"],
        "runs": record["runs"],
        "left_out": record["left_out"],
        "suite": str(folder),
        "testbed_exit": int(status),
    }
