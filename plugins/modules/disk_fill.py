#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: disk_fill
short_description: Fill a node's disk, or use its inodes up
description:
  - Fills the file system that holds O(path) to O(target) percent, and holds it there while others write and
    delete. What fills it lies in one folder at the root of that file system.
  - Refused where the file system is not the node's own, such as that of a container without a limit for its
    disk.
extends_documentation_fragment: foundation.testbed.fault_module
options:
  target:
    description:
      - Percentage of the file system that is used, as C(df) counts it. At 100 nobody can write.
      - Needed where O(state=present).
    type: float
  resource:
    description: What of it is used up, its space or its inodes.
    type: str
    choices: [space, inodes]
    default: space
  path:
    description:
      - A path on that file system.
      - The data of the system that the host runs when not given, C(/var/lib) where it runs none.
    type: path
"""

EXAMPLES = r"""
- name: Let a third of the cluster run out of disk
  foundation.testbed.disk_fill:
    for: 30s
    target: 100
  when: inventory_hostname == 'n3'

- name: Use all inodes up
  foundation.testbed.disk_fill:
    for: 30s
    resource: inodes
    target: 100

# Ad hoc:
# ansible n1 -i inventories/local -m foundation.testbed.disk_fill -a 'target=95 for=30s'
# ansible n1 -i inventories/local -m foundation.testbed.disk_fill -a 'state=absent'
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
