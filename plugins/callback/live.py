# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ctrl-C ends a run in good order."""

from __future__ import annotations

DOCUMENTATION = r"""
name: live
type: aggregate
short_description: Lets Ctrl-C end a run in good order, and gives it a live view
version_added: 0.4.0
author: Foundation Testbed contributors (@foundation)
description:
  - While a run goes on, the first Ctrl-C (SIGINT, or SIGTERM) heals the nodes, collects and judges what there
    is; the verdict is C(unknown). Before the start instant nothing begins. The second one stops at once and
    tells what is left to do.
  - Tells M(foundation.testbed.watch) the terminal, where it shows a live view. Without a terminal, or where
    E(TERM) is C(dumb) or E(CI) is set, it prints a line every few seconds.
  - Without this callback, Ctrl-C stops C(ansible-playbook) at once, and the run goes on to its planned end.
requirements:
  - enabled in the configuration, as C(callbacks_enabled = foundation.testbed.live), or with
    C(ANSIBLE_CALLBACKS_ENABLED=foundation.testbed.verdict,foundation.testbed.live)
"""

import os
import signal
from pathlib import Path

from ansible import context
from ansible.plugins.callback import CallbackBase
from ansible_collections.foundation.testbed.plugins.plugin_utils import main_process

PREFIX = "foundation.testbed."
SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Once a task of these has begun, the run is in this phase.
PHASES = {"compile": "before", "watch": "during", "collect": "after"}
FIRST_WORDS = {
    "before": "Interrupted: the run does not begin, and nodes that wait for it are healed.",
    "during": "Interrupted: the nodes are healed now, then what there is is collected and judged.",
    "ending": "Interrupted: what there is is collected and judged now.",
}
AGAIN = "Ctrl-C again stops at once."
LAST_WORDS = {
    "before": "Stopped. Nodes that were armed begin the run all the same.",
    "during": "Stopped at once; the nodes go on, and every fault ends by itself at its planned end.",
    "ending": "Stopped before the records were collected.",
    "after": "Stopped before the records were judged.",
}


class CallbackModule(CallbackBase):
    """Holds back the first signal of a run, for the tasks to heed."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "foundation.testbed.live"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self):
        super().__init__()
        self.phase, self.folder = None, None
        self.pid, self.handlers = os.getpid(), {}
        self.stopped = False

    def v2_playbook_on_task_start(self, task, is_conditional):
        if self.stopped:  # the exception may have met somebody who catches all
            raise KeyboardInterrupt
        name = step_of(task)
        if name == "compile":
            main_process.forget_interrupt()
            main_process.remember_terminal()
            self.hold()
        if self.handlers:
            self.phase = PHASES.get(name, self.phase)

    def v2_runner_on_ok(self, result):
        if step_of(result.task) == "compile":
            self.folder = result.result.get("folder")
        if step_of(result.task) == "watch" and not main_process.interrupted():
            self.phase = "ending"
        if step_of(result.task) == "judge":
            self.release()

    def v2_runner_on_failed(self, result, ignore_errors=False):
        if step_of(result.task) in ("compile", "admit", "judge"):
            self.release()

    def v2_playbook_on_stats(self, stats):
        self.release()

    def hold(self):
        """Take over the signals."""
        if not self.handlers:
            self.handlers = {number: signal.signal(number, self.heed) for number in SIGNALS}

    def release(self):
        """Give the signals back to Ansible."""
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        self.handlers = {}

    def heed(self, number, frame):
        """Ask the run to stop; asked again, or when it is over, stop at once as Ansible does."""
        if os.getpid() != self.pid:
            return  # a worker that was just forked: the main process has the signal too
        if self.phase in FIRST_WORDS and not main_process.interrupted():
            main_process.interrupt()
            say(f"{FIRST_WORDS[self.phase]} {AGAIN}")
            return
        say(f"{LAST_WORDS[self.phase]}{self.what_is_left()}")
        handler = self.handlers[number]
        self.stopped = True
        self.release()
        if callable(handler):
            handler(number, frame)

    def what_is_left(self):
        """Say how to heal now, and how to judge what there is."""
        sources = "".join(f" -i {shown(source)}" for source in context.CLIARGS.get("inventory") or ())
        playbook = f"ansible-playbook{sources} playbooks"
        lines = [] if self.phase == "after" else [f"Heal now with: {playbook}/heal.yml"]
        if self.folder:
            folder = Path(self.folder)
            elsewhere = (
                "" if folder.parent == Path.cwd() / "runs" else f" -e testbed_runs_dir={folder.parent}"
            )
            lines.append(f"Judge it with: {playbook}/report.yml -e run={folder.name}{elsewhere}")
        return "".join(f"\n{line}" for line in lines)


def step_of(task):
    """Name of a module of this collection; None of any other."""
    name = getattr(task, "resolved_action", None) or task.action
    return name.removeprefix(PREFIX) if name.startswith(PREFIX) else None


def shown(source):
    """Name an inventory as a user would: lists of hosts as they are, files from here."""
    return source if "," in source else os.path.relpath(source)


def say(text):
    """Write past every buffer: a signal handler may be in the midst of any."""
    os.write(2, f"\n{text}\n".encode())
