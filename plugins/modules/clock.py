#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: clock
short_description: Step the wall clock, have it run fast or slow, or jump to and fro
description:
  - The clock is set by the kernel's boot clock, and is right to within a millisecond when the fault ends.
    Daemons that keep the time are stopped meanwhile.
  - Only on nodes with a clock of their own. Containers are refused, as they share the host's.
extends_documentation_fragment: foundation.testbed.fault_module
options:
  action:
    description: Step once, run fast or slow, or jump to and fro. Needed where O(state=present).
    type: str
    choices: [step, skew, strobe]
  offset:
    description: How far, such as C(-30s) or C(+250ms). Of C(step) and C(strobe).
    type: str
  rate:
    description: How fast it runs, such as C(1.05) or C(-200ppm). Of C(skew).
    type: str
  interval:
    description: Time between two jumps, C(1s) if not given. Of C(strobe).
    type: str
"""

EXAMPLES = r"""
- name: Put the first node half a minute back
  foundation.testbed.clock:
    action: step
    offset: -30s
    for: 20s
  when: inventory_hostname == 'n1'

- name: Let all clocks run fast
  foundation.testbed.clock:
    action: skew
    rate: 500ppm
    for: 1min

# Ad hoc, on an inventory of machines with clocks of their own:
# ansible n1 -i inventory.yml -m foundation.testbed.clock -a 'action=strobe offset=2s interval=1s for=30s'
# ansible n1 -i inventory.yml -m foundation.testbed.clock -a 'state=absent'
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
