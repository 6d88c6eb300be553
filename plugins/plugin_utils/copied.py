# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Copy what was made on the controller to a node, as Ansible's own copy does."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any


def copied(action: Any, content: bytes, dest: str, task_vars: Any) -> dict[str, Any]:
    """Return what the copy action says; it changes nothing where the same content is in place."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / Path(dest).name
        source.write_bytes(content)
        task = action._task.copy()
        task.args = {"src": str(source), "dest": dest, "mode": "0644", "directory_mode": "0755"}
        copy = action._shared_loader_obj.action_loader.get(
            "ansible.legacy.copy",
            task=task,
            connection=action._connection,
            play_context=action._play_context,
            loader=action._loader,
            templar=action._templar,
            shared_loader_obj=action._shared_loader_obj,
        )
        said: dict[str, Any] = copy.run(task_vars=task_vars)
        return said
