# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of `foundation.testbed.verify`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.foundation.testbed.plugins.plugin_utils.exit_status import ExitStatus
from ansible_collections.foundation.testbed.plugins.plugin_utils.systems import known_systems

TIMEOUT_S = 600
ROLES = Path(__file__).resolve().parents[2] / "roles"


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
        folders = [ROLES / "network/tests", *(known_systems()[name] / "tests" for name in options["systems"])]
        junit = Path(options["junit_dir"]) / "verify.xml"
        junit.unlink(missing_ok=True)
        complaint = complaint_of(verify_command(folders, junit), checks_environment(options["inventory"]))
        if complaint:
            names = ", ".join(options["systems"])
            return {
                **result,
                "failed": True,
                "junit": str(junit),
                "testbed_exit": int(ExitStatus.CLUSTER_NOT_HEALTHY),
                "msg": f"the cluster is not healthy: the checks of {names} {complaint}",
            }
        return {**result, "changed": False, "junit": str(junit)}


def complaint_of(command: list[str], environment: dict[str, str]) -> str:
    """Run the checks and show what they say; returns what is wrong, nothing when all of them passed."""
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return f"did not end within {TIMEOUT_S:g} s"
    Display().display(done.stdout.rstrip())
    return f"say: {_last_line(done)}" if done.returncode != 0 else ""


def checks_environment(sources: list[str]) -> dict[str, str]:
    """Return the environment in which the checks find this inventory, its Ansible and what they share.

    Testinfra's own option takes one source alone. A list of hosts (`-i n7,n8`) gives no system any host,
    and its commas mean something else here.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    inventory = ",".join(source for source in sources if "," not in source)
    shared = os.pathsep.join(filter(None, [str(ROLES / "service/tests"), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PATH": path, "ANSIBLE_INVENTORY": inventory, "PYTHONPATH": shared}


def verify_command(folders: list[Path], junit: Path) -> list[str]:
    """Return the pytest command; pytest-ansible, where installed, cannot be loaded beside testinfra."""
    return [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--no-header",
        "--import-mode=importlib",  # files of several systems may have one name
        "-p",
        "no:cacheprovider",
        "-p",
        "no:pytest-ansible",
        "-c",
        "/dev/null",
        "--rootdir",
        str(folders[0].parent),
        f"--junit-xml={junit}",
        *map(str, folders),
    ]


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    return next(
        (line for line in reversed((done.stdout + done.stderr).splitlines()) if line.strip()), "no output"
    )
