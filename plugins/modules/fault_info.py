#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: fault_info
short_description: What is broken on a node right now
description:
  - Lists every fault that is active on the node, since when, until when, and which run wants it; also traces
    that no run is known of. What its provider does to the node is read on the controller; a node
    that is off, or whose disk fails, is not asked itself.
  - Nothing is changed.
extends_documentation_fragment: foundation.testbed.node_module
"""

EXAMPLES = r"""
- name: Ask every node what is broken on it
  foundation.testbed.fault_info:
    testbed_id: local

# Ad hoc:
# ansible nodes -i inventories/local -m foundation.testbed.fault_info -a testbed_id=local
"""

RETURN = r"""
faults:
  description:
    - One entry each with C(fault), C(type), C(run), C(since), C(until) (ISO 8601), C(left_s) and C(trace),
      its name on the node; those of the provider with C(action) as well. A trace that no journal knows of has
      no run and no times.
  returned: success
  type: list
  elements: dict
"""

import json
from datetime import datetime, timezone

from ansible_collections.foundation.testbed.plugins.module_utils.agent.ansible_module import enrolled_module
from ansible_collections.foundation.testbed.plugins.module_utils.agent.paths import AGENT


def iso(wall_ns):
    """Return an instant as people read it, None for none."""
    if wall_ns is None:
        return None
    return datetime.fromtimestamp(wall_ns / 1e9, timezone.utc).isoformat(timespec="milliseconds")


def main() -> None:
    """Ask the agent."""
    module = enrolled_module({})
    status, output, errors = module.run_command(["python3", str(AGENT), "active"])
    if status != 0:
        module.fail_json(msg=f"the agent cannot say: {errors.strip()[-500:]}")
    faults = [
        {"since": iso(entry.pop("since_wall_ns")), "until": iso(entry.pop("until_wall_ns")), **entry}
        for entry in json.loads(output)
    ]
    module.exit_json(changed=False, faults=faults)


if __name__ == "__main__":
    main()
