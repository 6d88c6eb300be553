#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: power
short_description: Cut the power of a node, or have it reboot
description:
  - The provider does it to the node, on the machine that holds the nodes. The node is on again at the end,
    whatever becomes of the controller.
  - Works on nodes of the container provider, from the machine that holds them, as root.
extends_documentation_fragment: foundation.testbed.fault_module
options:
  action:
    description:
      - Needed where O(state=present).
      - C(crash) cuts the power and switches it on again at once; O(for) bounds the time in which the node
        has to be back. C(off) cuts it at the start and switches it on at the end. C(reboot) has the node
        shut down and boot, as C(systemctl reboot) does.
      - C(panic) is refused on containers, whose kernel is the host's.
    type: str
    choices: [crash, reboot, 'off', panic]
  lose_unsynced:
    description:
      - Whether the cut loses what was not fsynced, as that of a machine does; with C(crash) and C(off).
      - The node needs a disk of its own (resource limit C(disk)). Without it the page cache of the host keeps
        everything.
    type: bool
    default: false
  max_down:
    description:
      - Never more of the play's hosts down at once; more are refused. The cluster's C(partition_tolerance)
        where it is not given.
      - All hosts of the play count, also those that a C(when) of the task leaves out.
    type: int
"""

EXAMPLES = r"""
- name: Have a node off for twenty seconds
  foundation.testbed.power:
    action: 'off'
    for: 20s

- name: Crash a node, and have it lose what it had not fsynced
  foundation.testbed.power:
    action: crash
    lose_unsynced: true
    for: 10s

# Ad hoc:
# ansible n1 -i inventories/local -m foundation.testbed.power -a 'action=off for=20s'
# ansible n1 -i inventories/local -m foundation.testbed.power -a 'state=absent'
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
