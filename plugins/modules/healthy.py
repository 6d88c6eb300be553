#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: healthy
short_description: Wait until a node's own system says that it is healthy
description:
  - Asks the system through its adapter until it is healthy, and fails with its own words when it does not
    become so.
  - Nothing is changed.
extends_documentation_fragment: foundation.testbed.node_module
options:
  system:
    description: System under test on this node.
    type: str
    required: true
  timeout_s:
    description: Seconds to wait.
    type: float
    default: 60
"""

EXAMPLES = r"""
- name: Wait for the member
  foundation.testbed.healthy:
    testbed_id: local
    system: etcd
"""

RETURN = r"""
health:
  description: What the system says of itself.
  returned: success
  type: dict
"""

import json
import time

from ansible_collections.foundation.testbed.plugins.module_utils.agent.ansible_module import enrolled_module
from ansible_collections.foundation.testbed.plugins.module_utils.agent.paths import AGENT


def main() -> None:
    """Ask until it is healthy."""
    module = enrolled_module(
        {
            "system": {"type": "str", "required": True},
            "timeout_s": {"type": "float", "default": 60.0},
        }
    )
    deadline = time.monotonic() + module.params["timeout_s"]
    while True:
        status, output, errors = module.run_command(
            ["python3", str(AGENT), "health", module.params["system"]]
        )
        if status != 0:
            module.fail_json(msg=f"the agent cannot say: {errors.strip()[-500:]}")
        health = json.loads(output)
        if health["healthy"]:
            module.exit_json(changed=False, health=health)
        if time.monotonic() > deadline or module.check_mode:
            break
        time.sleep(0.2)
    module.fail_json(
        msg=f"{module.params['system']} is not healthy after {module.params['timeout_s']:g} s: "
        f"{health['error'] or 'says it is not healthy'}",
        health=health,
    )


if __name__ == "__main__":
    main()
