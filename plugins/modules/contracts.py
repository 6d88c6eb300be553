#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: contracts
short_description: Whether the services of a node keep their contracts
description:
  - Asks the running services everything that their contracts say, from the node itself, and fails when a
    clause is broken; the message tells each of them with what is expected and what was given.
  - The contracts are the files C(roles/SYSTEM/contracts/*.yml) of the systems that the node runs. They are
    checked before any service is asked.
  - Addresses are those of the inventory. Where a contract asks another node, it is the next one in the group
    of the system. Of a system that the node does not run, it is the first node's service that is asked.
  - What is made on the way has names of its own, and some of it stays in the services (an auction cannot be
    unmade); so the task is changed.
version_added: 0.2.0
author: Foundation Testbed contributors (@foundation)
attributes:
  check_mode:
    description: Reads and checks the contracts, and asks no service.
    support: partial
  diff_mode:
    description: There is nothing to compare.
    support: none
options:
  testbed_id:
    description: Name of the testbed. The module refuses any host that is not enrolled in it.
    type: str
    required: true
  systems:
    description: Systems that the node runs. One without a contract is passed over.
    type: list
    elements: str
    required: true
  only:
    description: Contracts to check, by the names of their files without C(.yml); all where it is empty.
    type: list
    elements: str
    default: []
  results_dir:
    description: Folder on the controller that C(contracts-NODE.json) is written to.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Check what the node's services promise
  foundation.testbed.contracts:
    testbed_id: local
    systems: "{{ testbed_applications }}"
    results_dir: "{{ playbook_dir }}/runs"
"""

RETURN = r"""
clauses:
  description: How many clauses are kept, by contract.
  returned: always
  type: dict
  sample: {process_registry: 182}
broken:
  description: Each broken clause in words.
  returned: always
  type: list
  elements: str
not_checked:
  description: Contracts that ask a system too which no node runs.
  returned: always
  type: list
  elements: str
record:
  description: Path of the record on the controller.
  returned: when services were asked
  type: str
testbed_exit:
  description: Exit status that a broken clause asks for.
  returned: when a clause is broken
  type: int
  sample: 10
"""
