# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of `foundation.testbed.host_keys`, which is all of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ansible.plugins.action import ActionBase
from ansible_collections.foundation.testbed.plugins.plugin_utils.exit_status import ExitStatus
from ansible_collections.foundation.testbed.plugins.plugin_utils.host_keys import (
    SshEnd,
    check,
    parse_scan,
    question,
    unchecked,
)

SCAN_S = 10


class ActionModule(ActionBase):
    """Compares the keys that hosts offer with what the inventory vouches for."""

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            {
                "hosts": {"type": "list", "elements": "str", "required": True},
                "accepted": {"type": "list", "elements": "str", "default": []},
                "required": {"type": "bool", "default": True},
            }
        )
        files, ends = {}, []
        for name in options["hosts"]:
            said = task_vars["hostvars"][name]
            address = str(said.get("ansible_host") or said["testbed_address"])
            end = SshEnd(
                name, address, int(said.get("ansible_port") or 22), said.get("testbed_host_key") or ""
            )
            ends.append(end)
            files[end.token] = Path(said["testbed_known_hosts"])
        known = {end.name for end in ends if is_known(end.token, files[end.token])}
        checked = check(
            ends, known, scan([end for end in ends if end.name not in known]), set(options["accepted"])
        )
        problems = list(checked.problems)
        if options["required"]:
            problems += unchecked(checked.unknown, ends)
        if problems:
            return {
                **result,
                "failed": True,
                "msg": "\n".join(problems),
                "testbed_exit": int(ExitStatus.UNREACHABLE),
            }
        if not self._task.check_mode:
            for line in checked.lines:
                path = files[line.split(" ", 1)[0]]
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("a", encoding="utf-8") as file:
                    file.write(line)
        return {
            **result,
            "changed": bool(checked.lines),
            "unknown": [key.fingerprint for key in checked.unknown.values()],
            "question": question(checked.unknown, ends) if checked.unknown else "",
        }


def is_known(token: str, path: Path) -> bool:
    """Whether a known_hosts file has a key for a name; hashed names are found as well."""
    if not path.is_file():
        return False
    return (
        subprocess.run(
            ["ssh-keygen", "-F", token, "-f", str(path)], capture_output=True, check=False
        ).returncode
        == 0
    )


def scan(ends):
    """Return the keys that hosts offer, by their names in known_hosts."""
    found = {}
    for port in sorted({end.port for end in ends}):
        addresses = [end.address for end in ends if end.port == port]
        command = ["ssh-keyscan", "-T", str(SCAN_S), "-p", str(port), "-t", "ed25519,ecdsa,rsa", *addresses]
        found.update(parse_scan(subprocess.run(command, capture_output=True, text=True, check=False).stdout))
    return found
