# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The playbook `heal`, with modules that only say that they were called."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PLAYBOOK = Path(__file__).parents[3] / "playbooks" / "heal.yml"
MODULE = """\
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule({name: {"type": "str"} for name in ("testbed_id", "state_dir", "state")})
with open({called!r}, "a") as file:
    file.write({name!r} + "\\n")
module.fail_json(msg="no lab") if {fails} else module.exit_json()
"""
INVENTORY = """\
[nodes]
n1 ansible_connection=local
[observers]
[all:vars]
ansible_python_interpreter={python}
testbed_id=t
testbed_provider=container
"""


@pytest.mark.parametrize("power_fails", [True, False])
def test_nodes_are_healed_also_where_none_can_be_switched_on(tmp_path, power_fails):
    """And the playbook says so at its end."""
    called = tmp_path / "called"
    modules = tmp_path / "ansible_collections" / "foundation" / "testbed" / "plugins" / "modules"
    modules.mkdir(parents=True)
    for name, fails in (("power_program", power_fails), ("heal", False)):
        text = MODULE.replace("{called!r}", repr(str(called))).replace("{name!r}", repr(name))
        (modules / f"{name}.py").write_text(text.replace("{fails}", str(fails)))
    (tmp_path / "ansible.cfg").touch()
    (tmp_path / "inventory").write_text(INVENTORY.format(python=sys.executable))
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", tmp_path / "inventory", PLAYBOOK],
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(tmp_path),
            "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert called.read_text().split() == ["power_program", "heal"], done.stdout + done.stderr
    assert (done.returncode != 0) is power_fails, done.stdout
    assert ("Not switched on: no lab" in done.stdout) is power_fails
