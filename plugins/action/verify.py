# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of `foundation.testbed.verify`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.foundation.testbed.plugins.plugin_utils.exit_status import ExitStatus
from ansible_collections.foundation.testbed.plugins.plugin_utils.systems import known_systems

TIMEOUT_S = 600


class ActionModule(ActionBase):
    """Runs the testinfra checks that live in the systems' roles."""

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            {
                "systems": {"type": "list", "elements": "str", "required": True},
                "inventory": {"type": "list", "elements": "path", "required": True},
                "junit_dir": {"type": "path", "required": True},
            }
        )
        if not options["systems"]:
            return {**result, "changed": False, "msg": "no node runs a system: there is nothing to verify"}
        folders = [known_systems()[name] / "tests" for name in options["systems"]]
        junit = Path(options["junit_dir"]) / "verify.xml"
        done = subprocess.run(
            verify_command(folders, options["inventory"][0], junit),
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
        Display().display(done.stdout.rstrip())
        if done.returncode != 0:
            return {
                **result,
                "failed": True,
                "junit": str(junit),
                "testbed_exit": int(ExitStatus.CLUSTER_NOT_HEALTHY),
                "msg": f"the cluster is not healthy: {_last_line(done)}",
            }
        return {**result, "changed": False, "junit": str(junit)}


def verify_command(folders: list[Path], inventory: str, junit: Path) -> list[str]:
    """Return the pytest command; pytest-ansible, where installed, cannot be loaded beside testinfra."""
    return [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--no-header",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:pytest-ansible",
        "-c",
        "/dev/null",
        "--rootdir",
        str(folders[0].parent),
        f"--ansible-inventory={inventory}",
        f"--junit-xml={junit}",
        *map(str, folders),
    ]


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    return next(
        (line for line in reversed((done.stdout + done.stderr).splitlines()) if line.strip()), "no output"
    )
