#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: container_lab
short_description: A lab of system containers on this machine
version_added: 0.1.0
author: Foundation Testbed contributors (@foundation)
description:
  - Makes a bridge and boots every node as a systemd-nspawn container from an overlay on its images, all at
    once.
  - Each node has its own limits for memory, CPU and number of tasks, and ssh keys made for this lab alone.
  - A node with C(disk_bytes) has a disk of its own of that size; another size makes the node anew.
  - When a node does not start, everything that the call made is removed again, and each such node is named
    with its reason and the console log that was kept.
attributes:
  check_mode:
    description: Says which nodes would be removed, created and started.
    support: full
  diff_mode:
    description: Shows the nodes before and after.
    support: full
options:
  testbed_id:
    description: Name of the lab.
    type: str
    required: true
  state:
    description: Whether the lab is to be there.
    type: str
    choices: [present, absent]
    default: present
  nodes:
    description: Nodes as M(foundation.testbed.container_image) returns them; needed for O(state=present).
    type: list
    elements: dict
    default: []
  subnet:
    description: IPv4 network of the lab; needed for O(state=present).
    type: str
  gateway:
    description: This machine's address in that network; needed for O(state=present).
    type: str
  timeout_s:
    description: Seconds within which all nodes have to answer ssh.
    type: float
    default: 30
  state_dir:
    description: Folder that holds everything of the container provider.
    type: path
    default: /var/lib/foundation-testbed
requirements:
  - systemd-container
"""

EXAMPLES = r"""
- name: Boot the nodes
  foundation.testbed.container_lab:
    testbed_id: local
    subnet: 10.77.0.0/24
    gateway: 10.77.0.1
    nodes: "{{ image.nodes }}"

- name: Remove the lab with all its traces
  foundation.testbed.container_lab:
    testbed_id: local
    state: absent
"""

RETURN = r"""
started:
  description: Nodes that this call started.
  returned: when O(state=present)
  type: list
  elements: str
seconds:
  description: Time from the call until all nodes answered ssh, in seconds.
  returned: when O(state=present)
  type: float
node_start_failures:
  description: Nodes whose processes ended while they booted, each with its reason.
  returned: when some node did not start
  type: dict
timeout_starting_nodes:
  description: Nodes that did not answer ssh in time, each with its reason.
  returned: when some node did not start
  type: dict
consoles:
  description: Kept console logs of the nodes that did not start.
  returned: when some node did not start
  type: dict
"""

import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.foundation.testbed.plugins.module_utils.lab import owner
from ansible_collections.foundation.testbed.plugins.module_utils.lab.bridge import bridge_name, present
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError
from ansible_collections.foundation.testbed.plugins.module_utils.lab.lab import Lab, NodesNotStarted
from ansible_collections.foundation.testbed.plugins.module_utils.lab.node import Node, node_specs
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths


def make_present(module: AnsibleModule, lab: Lab) -> dict:
    """Bring the lab up; returns the module's result."""
    specs = node_specs(module.params)
    change = lab.compare(specs)
    before = lab.paths.node_names()
    result = {
        "changed": change.needed,
        "started": change.start,
        "diff": {
            "before": "".join(f"{n}\n" for n in before),
            "after": "".join(f"{spec.name}\n" for spec in sorted(specs, key=lambda s: s.name)),
        },
    }
    if module.check_mode:
        return result
    began = time.monotonic()
    lab.ensure(specs, module.params["subnet"], module.params["timeout_s"])
    for spec in specs:
        if spec.name in change.keep and Node(lab.paths, spec.name).set_limits(spec.limits):
            result["changed"] = True
    return dict(result, seconds=round(time.monotonic() - began, 3))


def make_absent(module: AnsibleModule, lab: Lab) -> dict:
    """Remove the lab; returns the module's result."""
    there = lab.paths.home.exists() or present(bridge_name(lab.paths.testbed_id))
    diff = {"before": "".join(f"{n}\n" for n in lab.paths.node_names()), "after": ""}
    if not module.check_mode:
        there = lab.destroy()
    return {"changed": there, "diff": diff}


def main() -> None:
    """Bring the lab into the wanted state."""
    module = AnsibleModule(
        argument_spec={
            "testbed_id": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "nodes": {"type": "list", "elements": "dict", "default": []},
            "subnet": {"type": "str"},
            "gateway": {"type": "str"},
            "timeout_s": {"type": "float", "default": 30.0},
            "state_dir": {"type": "path", "default": "/var/lib/foundation-testbed"},
        },
        required_if=[("state", "present", ("nodes", "subnet", "gateway"))],
        supports_check_mode=True,
    )
    lab = Lab(LabPaths(Path(module.params["state_dir"]), module.params["testbed_id"]))
    act = make_present if module.params["state"] == "present" else make_absent
    try:
        with lab.locked():
            owner.require(lab.paths, "container")
            result = act(module, lab)
    except NodesNotStarted as error:
        module.fail_json(
            msg=str(error),
            node_start_failures=error.failures,
            timeout_starting_nodes=error.time_outs,
            consoles=error.consoles,
        )
    except LabError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
