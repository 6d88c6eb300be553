# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Exit status by cause."""

from __future__ import annotations

DOCUMENTATION = r"""
name: verdict
type: aggregate
short_description: Ends the playbook with a status that tells its cause
version_added: 0.1.0
author: Foundation Testbed contributors (@foundation)
description:
  - The playbooks of this collection fail with a cause; this callback makes it the exit status of
    C(ansible-playbook).
  - C(0) pass, C(2) the testbed failed, C(4) a host is unreachable, C(10) verdict fail, C(11) verdict unknown,
    C(12) bad input, C(13) the cluster was not healthy before the run.
requirements:
  - enabled in the configuration, as C(callbacks_enabled = foundation.testbed.verdict)
"""

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    """Remembers the first cause and exits with it."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "foundation.testbed.verdict"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self):
        super().__init__()
        self.status = 0

    def v2_runner_on_failed(self, result, ignore_errors=False):
        if not ignore_errors:
            told = {**result.task.vars, **result.result}  # a task that only fails tells it in its vars
            self.status = self.status or int(told.get("testbed_exit", 0))

    def v2_playbook_on_stats(self, stats):
        if self.status:
            # Ansible knows only failed and unreachable; SystemExit is what it lets through, after its
            # own clean-up.
            raise SystemExit(self.status)
