#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_keys
short_description: The controller's keys of a lab that another machine has
version_added: 0.3.0
author: Foundation Testbed contributors (@foundation)
description:
  - Runs on the controller. Makes the key with which it gets into the nodes, and keeps the nodes' own public
    keys, by which ssh knows them. No private key leaves the machine that made it.
  - It refuses where nodes of this machine, or of yet another one, stand under the same name.
attributes:
  check_mode:
    description: Says what would change.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
options:
  testbed_id:
    description: Name of the lab.
    type: str
    required: true
  on:
    description: Address of the machine that has the nodes.
    type: str
    required: true
  state:
    description: Whether there are keys.
    type: str
    choices: [present, absent]
    default: present
  known_hosts:
    description: Lines for the nodes' keys, as M(foundation.testbed.vm_lab) returns them.
    type: list
    elements: str
  state_dir:
    description: Folder that holds everything of the lab.
    type: path
    default: /var/lib/foundation-testbed
"""

EXAMPLES = r"""
- name: Make the key that gets into the nodes
  foundation.testbed.lab_keys:
    testbed_id: vm
    "on": 192.0.2.10
  delegate_to: localhost
"""

RETURN = r"""
public_key:
  description: The public half of the key that gets into the nodes; empty where check mode makes none.
  returned: O(state=present)
  type: str
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError
from ansible_collections.foundation.testbed.plugins.module_utils.lab.keys_elsewhere import KeysElsewhere
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths


def main() -> None:
    """Make or remove the keys."""
    module = AnsibleModule(
        argument_spec={
            "testbed_id": {"type": "str", "required": True},
            "on": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "known_hosts": {"type": "list", "elements": "str", "no_log": False},
            "state_dir": {"type": "path", "default": "/var/lib/foundation-testbed"},
        },
        supports_check_mode=True,
    )
    params = module.params
    keys = KeysElsewhere(LabPaths(Path(params["state_dir"]), params["testbed_id"]), params["on"])
    try:
        if params["state"] == "absent":
            module.exit_json(changed=keys.remove(module.check_mode))
        changed, public = keys.ensure(params["known_hosts"], module.check_mode)
    except LabError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=changed, public_key=public)


if __name__ == "__main__":
    main()
