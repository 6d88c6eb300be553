#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: disk
short_description: Make a node's own disk slow, or have it fail
description:
  - The provider does it to the node, on the machine that holds the nodes. The disk is as before at the end,
    whatever becomes of the controller.
  - Works on nodes of the container provider that have a disk of their own (resource limit C(disk)), from the
    machine that holds them, as root.
extends_documentation_fragment: foundation.testbed.fault_module
options:
  action:
    description:
      - Needed where O(state=present).
      - C(slow) has the kernel let through O(iops) operations a second only.
      - C(fail) has the disk answer every access with an I/O error until the end; then the node is cut, and
        boots with what had reached the disk before.
    type: str
    choices: [slow, fail]
  iops:
    description: Operations a second, reads and writes each. Needed where O(action=slow); 2 to 2000.
    type: int
  max_down:
    description:
      - Never more of the play's hosts down at once, which a node is whose disk fails; more are refused. The
        cluster's C(partition_tolerance) where it is not given.
      - All hosts of the play count, also those that a C(when) of the task leaves out.
    type: int
"""

EXAMPLES = r"""
- name: Let the disk of a node do twenty operations a second
  foundation.testbed.disk:
    action: slow
    iops: 20
    for: 30s

- name: Let the disk of a node fail for ten seconds
  foundation.testbed.disk:
    action: fail
    for: 10s

# Ad hoc:
# ansible n1 -i inventories/local -m foundation.testbed.disk -a 'action=slow iops=20 for=30s'
# ansible n1 -i inventories/local -m foundation.testbed.disk -a 'state=absent'
"""

RETURN = r"""
run:
  description: Name of the run that holds the fault.
  returned: when it is present
  type: str
until:
  description: When it ends by itself, ISO 8601.
  returned: when it is present
  type: str
evidence:
  description: What was seen of it first, C(present), C(effective) and figures.
  returned: when it was begun
  type: dict
"""
