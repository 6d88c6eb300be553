# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of `foundation.testbed.install_packages`."""

from __future__ import annotations

from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.foundation.testbed.plugins.plugin_utils.copied import copied
from ansible_collections.foundation.testbed.plugins.plugin_utils.python_archive import files_of, packed


class ActionModule(ActionBase):
    """Packs the sources and hands them to the copy action."""

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            {
                "dest": {"type": "path", "required": True},
                "sources": {
                    "type": "list",
                    "elements": "dict",
                    "required": True,
                    "options": {"src": {"type": "path", "required": True}, "name": {"type": "str"}},
                },
            }
        )
        files = {}
        for source in options["sources"]:
            path = Path(source["src"])
            try:
                files.update(files_of(path, source["name"] or path.name))
            except OSError as error:
                raise AnsibleActionFail(f"sources: given {path}: {error.strerror}") from error
        return copied(self, packed(files), options["dest"], task_vars)
