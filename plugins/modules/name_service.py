#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: name_service
short_description: Make names of other hosts resolve to nothing, or to a wrong node
description:
  - Covers C(/etc/hosts), and C(/etc/resolv.conf) where O(dns=true), by bind mounts from memory. Nothing on
    the disk changes.
  - Every host of the play is told its own answers, and nothing of itself.
extends_documentation_fragment: foundation.testbed.fault_module
options:
  action:
    description: Whether the names resolve to nothing or to a wrong node. Needed where O(state=present).
    type: str
    choices: [nothing, wrong]
  names:
    description: Names that are affected; those of all other nodes where not given.
    type: list
    elements: str
  to:
    description:
      - Node or IPv4 address that the names resolve to where O(action=wrong); a node drawn from O(seed), never
        the right one, where not given.
    type: str
  dns:
    description: Whether DNS is cut off as well, for all names.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Have the first node find the third where the second should be
  foundation.testbed.name_service:
    action: wrong
    names: [n2]
    to: n3
    for: 20s
  when: inventory_hostname == 'n1'

# Ad hoc:
# ansible n1 -i inventories/local -m foundation.testbed.name_service -a 'action=nothing names=n2 for=30s'
# ansible n1 -i inventories/local -m foundation.testbed.name_service -a 'state=absent'
"""

RETURN = r"""
run:
  description: Name of the run that holds the fault on the node.
  returned: when the host takes part
  type: str
until:
  description: When it ends by itself, ISO 8601.
  returned: when the host takes part
  type: str
evidence:
  description: What the node saw of it first, C(present), C(effective) and figures.
  returned: when it was begun
  type: dict
"""
