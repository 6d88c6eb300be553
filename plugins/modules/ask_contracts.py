#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: ask_contracts
short_description: Ask services what contracts say, from a node
description:
  - Goes through the cases of contracts against running services, and says of every clause what is not as it
    should be. M(foundation.testbed.contracts) reads and checks the files, runs this on the node, and judges.
extends_documentation_fragment: foundation.testbed.node_module
attributes:
  check_mode:
    description: No service is asked.
    support: full
options:
  contracts:
    description: Contracts by name, as M(foundation.testbed.contracts) has checked them.
    type: dict
    required: true
  services:
    description: For each system the addresses C(here) and C(another), each as C(http://HOST:PORT).
    type: dict
    required: true
  unique:
    description: What the names of all that is made on the way have in them.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Ask the services of two nodes what a contract says
  foundation.testbed.ask_contracts:
    testbed_id: local
    unique: "{{ inventory_hostname }}.{{ now().timestamp() | int }}"
    services:
      foundation:
        here: http://127.0.0.1:4100
        another: http://10.77.0.12:4100
    contracts:
      process_registry: "{{ my_contract }}"
"""

RETURN = r"""
clauses:
  description:
    - For each contract its clauses in order, each with C(case), C(operation), C(outcome), C(clause) and its
      C(mismatches), none where it is kept.
    - A case ends with the first step of which a clause is broken.
  returned: success
  type: dict
"""

from ansible_collections.foundation.testbed.plugins.module_utils.agent.ansible_module import enrolled_module
from ansible_collections.foundation.testbed.plugins.module_utils.contracts.check import Check, recorded
from ansible_collections.foundation.testbed.plugins.module_utils.contracts.exchange import asker


def main() -> None:
    """Ask the services."""
    module = enrolled_module(
        {
            "contracts": {"type": "dict", "required": True},
            "services": {"type": "dict", "required": True},
            "unique": {"type": "str", "required": True},
        }
    )
    given, results = module.params, {}
    if module.check_mode:
        module.exit_json(changed=True, clauses=results)
    ask = asker(given["services"])
    for number, (name, contract) in enumerate(sorted(given["contracts"].items())):
        check = Check(contract, ask, f"{given['unique']}.{number}")
        results[name] = [recorded(result) for result in check.results()]
    module.exit_json(changed=True, clauses=results)


if __name__ == "__main__":
    main()
