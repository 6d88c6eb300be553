#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Whether a node is fit for a run
description:
  - Asks the node whether it is enrolled, able to do the faults, free of leftovers, and whether its own
    system is healthy.
  - Nothing is changed.
extends_documentation_fragment: foundation.testbed.node_module
options:
  agent_sha256:
    description: Checksum of the agent that the controller would install; another on the node is a blocker.
    type: str
    required: true
  systems:
    description: Systems under test on this node.
    type: list
    elements: str
    default: []
  faults:
    description: Kinds of fault that the run will ask of this node.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Ask every node whether it is fit
  foundation.testbed.preflight:
    testbed_id: local
    agent_sha256: "{{ agent_sha256 }}"
    systems: [etcd]
    faults: [partition]
"""

RETURN = r"""
blockers:
  description: Reasons of the testbed's own not to run on this node.
  returned: success
  type: list
  elements: str
unhealthy:
  description: Systems of this node that are not healthy, each with its reason.
  returned: success
  type: list
  elements: str
health:
  description: What each system says of itself.
  returned: success
  type: dict
versions:
  description: Version of each system.
  returned: success
  type: dict
wall_ns:
  description: The node's wall clock, in nanoseconds since the epoch.
  returned: success
  type: int
"""

import json

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.foundation.testbed.plugins.module_utils.agent.enrolment import NotEnrolled, require
from ansible_collections.foundation.testbed.plugins.module_utils.agent.paths import AGENT


def main() -> None:
    """Ask the agent."""
    module = AnsibleModule(
        argument_spec={
            "testbed_id": {"type": "str", "required": True},
            "agent_sha256": {"type": "str", "required": True},
            "systems": {"type": "list", "elements": "str", "default": []},
            "faults": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    try:
        require(module.params["testbed_id"])
    except NotEnrolled as error:
        module.fail_json(msg=str(error))
    status, output, errors = module.run_command(
        [
            "python3",
            str(AGENT),
            "preflight",
            json.dumps(module.params["systems"]),
            json.dumps(module.params["faults"]),
        ]
    )
    if status != 0:
        module.fail_json(msg=f"the agent cannot say: {errors.strip()[-500:]}")
    answer = json.loads(output)
    if module.sha256(str(AGENT)) != module.params["agent_sha256"]:
        answer["blockers"].append("its agent is not this controller's: run the playbook provision")
    module.exit_json(changed=False, **answer)


if __name__ == "__main__":
    main()
