#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: power_program
short_description: Cut the power of nodes, or break their disks, by plan, and take it back
description:
  - Runs on the controller's own machine, which holds the containers, or reaches the libvirt or the management
    controllers of the nodes; where the inventory has a hypervisor elsewhere (group C(testbed_hypervisors)),
    the program runs there, by ssh. C(present) starts a program that does so on its own clock,
    whatever becomes of the play; it runs twice, and each goes on should the other die.
  - C(ended) waits until the program of a run has ended. C(absent) ends every program of the lab and takes
    back what they have done.
attributes:
  check_mode:
    description: Says what would be stopped and taken back, and changes nothing.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
options:
  testbed_id:
    description: Id of the testbed.
    type: str
    required: true
  state:
    description: Whether a program shall run, shall have ended, or nothing shall be cut at all.
    type: str
    choices: [present, ended, absent]
    default: present
  state_dir:
    description: Folder that holds what the testbed keeps on this machine.
    type: path
    default: /var/lib/foundation-testbed
  run:
    description: Name of the run. Needed unless O(state=absent), where nothing stands for all.
    type: str
  start_wall_ns:
    description: Start instant of the run, in nanoseconds since the epoch. Needed where O(state=present).
    type: int
  records:
    description:
      - Folder for the ledgers, one folder for each node in it. Needed where O(state=present).
      - Where a hypervisor elsewhere has the nodes, its ledgers are put there by the other states.
    type: path
  plan:
    description: A plan, of which O(faults) are those that a provider does. A plan without any is no work.
    type: dict
  faults:
    description: What is done to which node and when. Needed where O(state=present), unless there is O(plan).
    type: list
    elements: dict
    suboptions:
      id:
        description: Name of the fault.
        type: str
        required: true
      type:
        description: Kind of the fault.
        type: str
        choices: [disk, power]
        required: true
      node:
        description: Name of the node.
        type: str
        required: true
      action:
        description: See M(foundation.testbed.power) and M(foundation.testbed.disk).
        type: str
        choices: [crash, reboot, 'off', panic, slow, fail]
        required: true
      iops:
        description: See M(foundation.testbed.disk).
        type: int
      lose_unsynced:
        description: See M(foundation.testbed.power).
        type: bool
        default: false
      switch:
        description: Name of the node's switch, as the plan says it.
        type: str
      start_s:
        description: Begin, in seconds from the start instant.
        type: float
        required: true
      end_s:
        description: End, in seconds from the start instant.
        type: float
        required: true
  switches:
    description:
      - What is known of the power switch of each node in O(faults). Gathered from the inventory by the
        module's controller side; not to be given.
    type: list
    elements: dict
    default: []
    suboptions:
      node:
        description: Name of the node.
        type: str
        required: true
      said:
        description: Provider, and what it needs.
        type: dict
        required: true
      password:
        description: Password of the management controller; kept in a file that root alone reads.
        type: str
  archive:
    description: The program. Packed by the module's controller side; not to be given.
    type: path
  timeout_s:
    description: Seconds to wait where O(state=ended). Without it, what nodes of this provider need to boot.
    type: float
author: Foundation Testbed contributors (@foundation)
version_added: 0.2.0
seealso:
  - module: foundation.testbed.power
  - module: foundation.testbed.container_lab
"""

EXAMPLES = r"""
- name: Have a node off from the tenth to the thirtieth second of a run
  foundation.testbed.power_program:
    testbed_id: local
    run: "{{ run }}"
    start_wall_ns: "{{ start_wall_ns }}"
    records: "{{ folder }}/nodes"
    faults:
      - {id: power-1, type: power, node: n1, action: 'off', start_s: 10, end_s: 30}

- name: Switch on whatever is cut, and mend every disk, whoever did it
  foundation.testbed.power_program:
    testbed_id: local
    state: absent
"""

RETURN = r"""
ended:
  description: Whether the program has ended; what is missing then shows in its ledgers.
  returned: when O(state=ended)
  type: bool
stopped:
  description: Runs whose program was ended.
  returned: when O(state=absent)
  type: list
  elements: str
restored:
  description: Nodes that were switched on, or whose disk was mended.
  returned: when O(state=absent)
  type: list
  elements: str
"""

import sys
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.foundation.testbed.plugins.module_utils.lab import power
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switches import switch_of, with_password

FAULT = {
    "id": {"type": "str", "required": True},
    "type": {"type": "str", "choices": sorted(power.KINDS), "required": True},
    "node": {"type": "str", "required": True},
    "action": {"type": "str", "choices": list(power.ACTIONS), "required": True},
    "iops": {"type": "int"},
    "lose_unsynced": {"type": "bool", "default": False},
    "switch": {"type": "str"},
    "start_s": {"type": "float", "required": True},
    "end_s": {"type": "float", "required": True},
}

SWITCH = {
    "node": {"type": "str", "required": True},
    "said": {"type": "dict", "required": True},
    "password": {"type": "str", "no_log": True},
}


def switches_of(given: list) -> dict:
    """Put every password back to where its switch expects it."""
    return {
        one["node"]: with_password(one["said"], one["password"]) if one["password"] else one["said"]
        for one in given
    }


def present(module: AnsibleModule, lab: LabPaths) -> dict:
    """Start the program of a run."""
    params = module.params
    switches = switches_of(params["switches"])
    for node in sorted({fault["node"] for fault in params["faults"]}):
        if node not in switches:
            allowed = ", ".join(sorted(switches)) or "none, as the inventory names no switch"
            module.fail_json(msg=f"faults: given the node {node!r}; allowed: {allowed}")
        switch_of(lab, node, switches[node])
    if module.check_mode:
        return {"changed": True}
    keys = ("run", "testbed_id", "state_dir", "start_wall_ns", "records", "faults")
    archive = Path(params["archive"]).read_bytes()
    power.start(lab, {key: params[key] for key in keys}, switches, archive, sys.executable)
    return {"changed": True}


def ended(module: AnsibleModule, lab: LabPaths) -> dict:
    """Wait for the end of a run's program."""
    if module.check_mode:
        return {"changed": False}
    done = power.await_end(lab, module.params["run"], module.params["timeout_s"])
    if not done:
        module.warn(
            f"the power program of the run {module.params['run']} has not come to its end; "
            "playbooks/heal.yml takes back what it may have left"
        )
    return {"changed": False, "ended": done}


def absent(module: AnsibleModule, lab: LabPaths) -> dict:
    """Take back whatever has been done."""
    act = power.to_heal if module.check_mode else power.heal
    done = act(lab, module.params["run"] or "*")
    return {"changed": any(done.values()), **done}


def main() -> None:
    """Bring the power and the disks of a lab's nodes into the wanted state."""
    module = AnsibleModule(
        argument_spec={
            "testbed_id": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "ended", "absent"], "default": "present"},
            "state_dir": {"type": "path", "default": "/var/lib/foundation-testbed"},
            "run": {"type": "str"},
            "start_wall_ns": {"type": "int"},
            "records": {"type": "path"},
            "faults": {"type": "list", "elements": "dict", "options": FAULT},
            "plan": {"type": "dict"},  # of which the action makes faults
            "timeout_s": {"type": "float"},
            "switches": {"type": "list", "elements": "dict", "options": SWITCH, "default": []},
            "archive": {"type": "path"},  # the program, which the action packs
        },
        required_if=[
            ("state", "present", ("run", "start_wall_ns", "records", "faults")),
            ("state", "ended", ("run",)),
        ],
        supports_check_mode=True,
    )
    lab = LabPaths(Path(module.params["state_dir"]), module.params["testbed_id"])
    act = {"present": present, "ended": ended, "absent": absent}[module.params["state"]]
    try:
        module.exit_json(**act(module, lab))
    except LabError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
