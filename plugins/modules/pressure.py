#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pressure
short_description: Use a resource of a node up, or of one of its units
description:
  - Uses memory, processors, a disk or tasks up to a share of what the node itself may have of them.
  - Or has the kernel deny a unit more files, or kill it for want of memory.
  - Refused in a container without a limit of its own, as the host would be endangered.
extends_documentation_fragment: foundation.testbed.fault_module
options:
  resource:
    description:
      - Needed where O(state=present).
      - C(memory) is used up to O(target) percent of the node's limit and held there, whatever others do.
      - C(cpu) is loaded to O(target) percent of the node's limit; needs stress-ng on the node.
      - C(io) keeps the disk of O(path) busy with small writes that are synced.
      - C(pids) uses tasks up until O(left) more can begin.
      - C(descriptors) lowers the limit of open files of the processes of O(unit) to what they have open.
      - C(oom) has the kernel kill the main process of O(unit).
    type: str
    choices: [memory, cpu, io, pids, descriptors, oom]
  target:
    description:
      - Percentage of the node's own limit (C(memory), C(cpu)), of the time (C(io)), or of the limit of open
        files (C(descriptors)). Required for C(memory), at most 98 there; 100 for the others when not given.
    type: float
  workers:
    description: Processes that load. For C(cpu) one a processor of the limit when not given, for C(io) one.
    type: int
  rate:
    description: Bytes a second that C(io) writes at most, such as C(64M); 32M when not given.
    type: str
  path:
    description:
      - Folder on the disk that C(io) loads.
      - The data of the system that the host runs when not given, C(/var/lib) where it runs none.
    type: path
  left:
    description: Tasks that can still begin, for C(pids); 16 when not given.
    type: int
  unit:
    description: Service for C(descriptors) and C(oom); that of the system that the host runs when not given.
    type: str
"""

EXAMPLES = r"""
- name: Use 90 percent of the memory that the nodes may have
  foundation.testbed.pressure:
    for: 30s
    resource: memory
    target: 90

- name: Let the kernel kill etcd on n1 for want of memory
  foundation.testbed.pressure:
    for: 10s
    resource: oom
    unit: etcd.service
  when: inventory_hostname == 'n1'

# Ad hoc:
# ansible n1 -i inventories/local -m foundation.testbed.pressure -a 'resource=cpu target=80 for=30s'
# ansible n1 -i inventories/local -m foundation.testbed.pressure -a 'resource=cpu state=absent'
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
