#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: heal
short_description: Make a node whole again
description:
  - Ends every run on the node and takes back every fault, also when the plan, the run folder and the
    controller that made them are gone. On a whole node nothing is changed.
extends_documentation_fragment: foundation.testbed.node_module
"""

EXAMPLES = r"""
- name: Heal every node
  foundation.testbed.heal:
    testbed_id: local
"""

RETURN = r"""
stopped:
  description: Units of runs that were ended.
  returned: success
  type: list
  elements: str
reverted:
  description: Faults of the undo journal that were taken back.
  returned: success
  type: list
  elements: str
swept:
  description: Traces that no journal knew of.
  returned: success
  type: list
  elements: str
"""

import json

from ansible_collections.foundation.testbed.plugins.module_utils.agent.ansible_module import enrolled_module
from ansible_collections.foundation.testbed.plugins.module_utils.agent.paths import AGENT


def main() -> None:
    """Heal one node."""
    module = enrolled_module({})
    verb = "to-heal" if module.check_mode else "heal"
    status, output, errors = module.run_command(["python3", str(AGENT), verb])
    if status != 0:
        module.fail_json(msg=f"the agent cannot heal: {errors.strip()[-500:]}")
    done = json.loads(output)
    module.exit_json(changed=any(done.values()), **done)


if __name__ == "__main__":
    main()
