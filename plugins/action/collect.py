# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of `foundation.testbed.collect`."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from ansible.plugins.action import ActionBase


def unpack(archive: str, folder: Path) -> str:
    """Unpack an archive; return why that failed, in tar's first words, empty where it did not."""
    command = ["tar", "--extract", "--gzip", "--no-same-owner", f"--file={archive}", f"--directory={folder}"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode == 0:
        return ""
    return next(iter(done.stderr.splitlines()), f"tar ended with status {done.returncode}")


class ActionModule(ActionBase):
    """Runs the module, fetches what it packed and unpacks it into a folder named after the host."""

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        result.update(self._execute_module(task_vars=task_vars))
        archive = result.pop("archive", None)
        if result.get("failed") or archive is None:
            return result
        folder = Path(self._task.args["dest"]) / task_vars["inventory_hostname"]
        folder.mkdir(parents=True, exist_ok=True)
        if self._connection.become is not None:  # files are fetched by who logged in
            self._low_level_execute_command(f'[ -z "$SUDO_UID" ] || chown "$SUDO_UID" {archive}')
        with tempfile.NamedTemporaryFile(suffix=".tar.gz") as fetched:
            self._connection.fetch_file(archive, fetched.name)
            reason = unpack(fetched.name, folder)
        run = self._task.args["run"]
        if reason:
            said = f"{folder}: its records were not unpacked ({reason}); they stay on the node"
            msg = f"{said}: when that is mended, run the playbook report with -e run={run}"
            return {**result, "failed": True, "msg": msg}
        self._low_level_execute_command(
            f"rm {archive}; touch /var/lib/foundation-testbed/runs/{run}/collected"
        )
        return {**result, "folder": str(folder)}
