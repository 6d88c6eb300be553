#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: stage
short_description: Hand a node its part of a run and arm it
description:
  - Writes the node's program and starts the agent in a transient systemd unit that waits for the start
    instant.
  - From then on the node needs nobody. Whatever ends the agent, its unit takes back all that it applied.
extends_documentation_fragment: foundation.testbed.node_module
options:
  program:
    description: The node's part of the plan, with C(run), C(start_wall_ns), C(faults) and C(load).
    type: dict
    required: true
  armed_timeout_s:
    description: Seconds to wait for the agent to say that it is armed.
    type: float
    default: 60
"""

EXAMPLES = r"""
- name: Arm the nodes
  foundation.testbed.stage:
    testbed_id: local
    program: "{{ programs[inventory_hostname] }}"
"""

RETURN = r"""
armed:
  description: Whether the node waits for the start instant.
  returned: success
  type: bool
ahead_s:
  description: Seconds that were left until the start instant when the node was armed.
  returned: when armed
  type: float
"""

import json
import time

from ansible_collections.foundation.testbed.plugins.module_utils.agent.ansible_module import enrolled_module
from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import write_json
from ansible_collections.foundation.testbed.plugins.module_utils.agent.paths import run_dir
from ansible_collections.foundation.testbed.plugins.module_utils.agent.unit import unit_command


def armed(folder, timeout_s: float) -> dict:
    """Return what the agent says of being armed, or a mapping that says it said nothing."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if (folder / "armed.json").exists():
            return json.loads((folder / "armed.json").read_text(encoding="utf-8"))
        time.sleep(0.05)
    return {"armed": False, "silent_s": timeout_s}


def main() -> None:
    """Stage one node."""
    module = enrolled_module(
        {
            "program": {"type": "dict", "required": True},
            "armed_timeout_s": {"type": "float", "default": 60.0},
        }
    )
    program = module.params["program"]
    if module.check_mode:
        module.exit_json(changed=True, armed=False)
    folder = run_dir(program["run"])
    folder.mkdir(parents=True)
    write_json(folder / "program.json", program, durable=True)
    # A power cut within the run is to lose nothing that was there before it.
    module.run_command(["sync", "-f", str(folder)])
    status, _output, errors = module.run_command(unit_command(program))
    if status != 0:
        module.fail_json(msg=f"the agent cannot be started: {errors.strip()}")
    answer = armed(folder, module.params["armed_timeout_s"])
    if not answer["armed"]:
        module.fail_json(msg=f"the agent is not armed: {answer}", **answer)
    module.exit_json(changed=True, **answer)


if __name__ == "__main__":
    main()
