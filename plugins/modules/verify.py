#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: verify
short_description: Whether every system of the cluster is healthy
description:
  - Runs the testinfra checks that each system keeps in the folder C(tests) of its role, and shows what they
    say.
  - The task fails when one check does, and when they do not end within ten minutes.
version_added: 0.1.0
author: Foundation Testbed contributors (@foundation)
attributes:
  check_mode:
    description: The checks only ask, and are run in check mode too; so is the JUnit file written.
    support: partial
  diff_mode:
    description: There is nothing to compare.
    support: none
options:
  systems:
    description: Systems to check.
    type: list
    elements: str
    required: true
  inventory:
    description: Sources of the inventory, which are handed on to testinfra.
    type: list
    elements: path
    required: true
  junit_dir:
    description: Folder on the controller that C(verify.xml) is written to.
    type: path
    required: true
requirements:
  - pytest
  - pytest-testinfra
"""

EXAMPLES = r"""
- name: Run the systems' own testinfra checks
  foundation.testbed.verify:
    systems: "{{ testbed_systems }}"
    inventory: "{{ ansible_inventory_sources }}"
    junit_dir: "{{ playbook_dir }}/runs"
"""

RETURN = r"""
junit:
  description: Path of the JUnit file on the controller.
  returned: always
  type: str
testbed_exit:
  description: Exit status that an unhealthy cluster asks for.
  returned: when a check failed
  type: int
  sample: 13
"""
