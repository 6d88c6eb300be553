# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of `foundation.testbed.install_agent`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ansible.plugins.action import ActionBase
from ansible_collections.foundation.testbed.plugins.module_utils.agent.paths import AGENT
from ansible_collections.foundation.testbed.plugins.plugin_utils.agent_archive import agent_archive


class ActionModule(ActionBase):
    """Packs the agent and hands it to the copy action, which does nothing where the same one is in place."""

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder) / AGENT.name
            archive.write_bytes(agent_archive())
            task = self._task.copy()
            task.args = {"src": str(archive), "dest": str(AGENT), "mode": "0644", "directory_mode": "0755"}
            copy = self._shared_loader_obj.action_loader.get(
                "ansible.legacy.copy",
                task=task,
                connection=self._connection,
                play_context=self._play_context,
                loader=self._loader,
                templar=self._templar,
                shared_loader_obj=self._shared_loader_obj,
            )
            return copy.run(task_vars=task_vars)
