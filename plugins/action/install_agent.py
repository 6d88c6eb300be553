# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of `foundation.testbed.install_agent`."""

from __future__ import annotations

from ansible.plugins.action import ActionBase
from ansible_collections.foundation.testbed.plugins.module_utils.agent.paths import AGENT
from ansible_collections.foundation.testbed.plugins.plugin_utils.agent_archive import agent_archive
from ansible_collections.foundation.testbed.plugins.plugin_utils.copied import copied


class ActionModule(ActionBase):
    """Packs the agent and hands it to the copy action, which does nothing where the same one is in place."""

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        return copied(self, agent_archive(), str(AGENT), task_vars)
