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
    description: This node's faults in the plan, each with C(id), C(type) and C(node), its program.
    type: list
    elements: dict
    default: []
  prometheus:
    description: Where Prometheus answers on this host, for an observer that has one.
    type: str
    default: ""
  queries:
    description: The scenario's PromQL by its key, for Prometheus to read before anything is broken.
    type: dict
    default: {}
  role_variables:
    description: What the scenario tells the system's role; where it was told otherwise, that is a blocker.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Ask every node whether it is fit
  foundation.testbed.preflight:
    testbed_id: local
    agent_sha256: "{{ agent_sha256 }}"
    systems: [etcd]
    faults:
      - id: slow
        type: link
        node: {delay: 0.05, affected: {n2: 10.77.0.12}, seed: 40630758644503}
"""

RETURN = r"""
blockers:
  description: Reasons of the testbed's own not to run on this node.
  returned: success
  type: list
  elements: str
incapable:
  description: Faults that this node cannot do, each with the reason.
  returned: success
  type: list
  elements: str
queries:
  description: What Prometheus finds wrong with the scenario's PromQL, by key; empty where it does not run.
  returned: success
  type: dict
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
from pathlib import Path
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.agent.ansible_module import enrolled_module
from ansible_collections.foundation.testbed.plugins.module_utils.agent.management import (
    cuts_management,
    ssh_connection,
)
from ansible_collections.foundation.testbed.plugins.module_utils.agent.paths import AGENT, ROLE_VARIABLES
from ansible_collections.foundation.testbed.plugins.module_utils.monitor.prometheus import query_problem


def role_variables(path: Path = ROLE_VARIABLES) -> dict[str, Any]:
    """Return what the system's role was told by a scenario and has not been taken back."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError):
        return {}


def main() -> None:
    """Ask the agent."""
    module = enrolled_module(
        {
            "agent_sha256": {"type": "str", "required": True},
            "systems": {"type": "list", "elements": "str", "default": []},
            "faults": {"type": "list", "elements": "dict", "default": []},
            "prometheus": {"type": "str", "default": ""},
            "queries": {"type": "dict", "default": {}},
            "role_variables": {"type": "dict", "default": {}},
        }
    )
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
    connection = ssh_connection()
    answer["incapable"] += [
        f"{fault['id']} ({fault['type']}): {problem}"
        for fault in module.params["faults"]
        for problem in cuts_management(fault["node"], connection)
    ]
    found = {
        key: query_problem(module.params["prometheus"], query)
        for key, query in module.params["queries"].items()
    }
    answer["queries"] = {key: problem for key, problem in found.items() if problem}
    if module.sha256(str(AGENT)) != module.params["agent_sha256"]:
        answer["blockers"].append("its agent is not this controller's: run the playbook provision")
    told = role_variables()
    if told != module.params["role_variables"]:
        answer["blockers"].append(f"its system has other options ({told}): run the playbook deploy")
    module.exit_json(changed=False, **answer)


if __name__ == "__main__":
    main()
