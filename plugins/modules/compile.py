#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: compile
short_description: Check a scenario against the cluster and compile it into a plan
description:
  - Reads a scenario, checks every key of it and everything that it asks of the inventory's cluster, and
    compiles the plan of a run. Nothing on any host is touched.
  - Makes the folder of the run with C(scenario.yml), C(plan.json) and C(run.json), and points C(latest) at
    it.
  - The same scenario, inventory and seed give the same plan, byte for byte.
  - It runs on the controller. What it needs of the cluster it takes from the groups C(nodes) and
    C(observers).
version_added: 0.1.0
author: Foundation Testbed contributors (@foundation)
attributes:
  check_mode:
    description: Compiles the plan, shows it as a timeline with a small chart, and makes no folder.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
options:
  scenario:
    description:
      - Name of a scenario of this collection, or the path of a C(.yml) or C(.yaml) file.
      - The path of a C(.json) file is a saved plan, such as C(runs/latest/plan.json). It runs again as it is,
        on the cluster that it was compiled for.
      - Also the path of an experiment of the Chaos Toolkit, C(.json) or C(.yaml), which is made a scenario.
    type: str
    required: true
  allow_unmapped:
    description: Leave out what an experiment holds that has no counterpart here, rather than refuse it.
    type: bool
    default: false
  experiment_nodes:
    description: Nodes that commands of an experiment are meant for which are not run through ssh.
    type: list
    elements: str
    default: []
  runs_dir:
    description: Folder that the run's own folder is made in.
    type: path
    required: true
requirements:
  - netaddr
  - pydantic
seealso:
  - module: foundation.testbed.admit
"""

EXAMPLES = r"""
- name: Take the plan of an earlier run again
  foundation.testbed.compile:
    scenario: runs/latest/plan.json
    runs_dir: "{{ playbook_dir }}/runs"

- name: Check the scenario against the cluster and compile the plan
  foundation.testbed.compile:
    scenario: etcd_majority_partition
    runs_dir: "{{ playbook_dir }}/runs"
  register: testbed_run
"""

RETURN = r"""
plan:
  description: The plan, as it is written to C(plan.json).
  returned: success
  type: dict
systems:
  description: Names of the systems that each node runs, by node.
  returned: success
  type: dict
  sample: {n1: [etcd], n2: [etcd]}
faults:
  description: What each host is asked before the run whether it can, by host.
  returned: success
  type: dict
queries:
  description: The scenario's PromQL, for the observer that runs Prometheus to read.
  returned: success
  type: dict
agent_sha256:
  description: Checksum of the agent that this controller would install.
  returned: success
  type: str
run:
  description: Name of the run.
  returned: success, and not in check mode
  type: str
  sample: 20261123T231500Z-etcd_majority_partition
folder:
  description: Folder of the run on the controller.
  returned: success, and not in check mode
  type: str
testbed_exit:
  description: Exit status that M(foundation.testbed.compile) asks for when the input is wrong.
  returned: when the scenario or the inventory is wrong
  type: int
  sample: 12
"""
