#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: suite
short_description: Run several scenarios one after the other
description:
  - Checks every scenario against the inventory's cluster before the first begins, then runs each with an
    C(ansible-playbook) of its own, with this one's options. It goes on after a verdict that is not C(pass).
  - Writes C(suite.json) and C(suite.md) into a folder of the suite beside the folders of the runs.
  - Ctrl-C ends the scenario that runs in its own way, and then the suite.
  - The task fails unless every verdict is C(pass).
version_added: 0.2.0
author: Foundation Testbed contributors (@foundation)
attributes:
  check_mode:
    description: Every scenario is run in check mode, which shows its plan.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
options:
  scenarios:
    description:
      - C(all), or names or paths of scenarios with commas between them.
      - Of C(all), those written for another C(node_count) are left out, and named.
    type: str
    required: true
  scenarios_dir:
    description: Folder with the scenarios; those of this collection by default.
    type: path
  runs_dir:
    description: Folder that holds the runs.
    type: path
    required: true
  playbook:
    description: Playbook that runs one scenario, given as the variable C(scenario).
    type: path
    required: true
  allow_unmapped:
    description: As of M(foundation.testbed.compile).
    type: bool
    default: false
  experiment_nodes:
    description: As of M(foundation.testbed.compile).
    type: list
    elements: str
    default: []
requirements:
  - pydantic
seealso:
  - module: foundation.testbed.judge
"""

EXAMPLES = r"""
- name: Run every scenario of this collection
  foundation.testbed.suite:
    scenarios: all
    runs_dir: "{{ playbook_dir }}/runs"
    playbook: "{{ playbook_dir }}/run_scenario.yml"
"""

RETURN = r"""
verdict:
  description: The worst verdict, one of C(fail), C(unknown) and C(pass), in this order.
  returned: unless an input is wrong or in check mode
  type: str
runs:
  description: What became of each scenario, as in C(suite.json).
  returned: unless an input is wrong or in check mode
  type: list
  elements: dict
left_out:
  description: Scenarios that were left out, each with its reason.
  returned: unless an input is wrong or in check mode
  type: list
  elements: dict
suite:
  description: Folder of the suite on the controller.
  returned: unless an input is wrong or in check mode
  type: str
testbed_exit:
  description: Exit status that the worst verdict asks for.
  returned: always
  type: int
  sample: 10
"""
