#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: process
short_description: Kill, end, stop, restart or crash processes of a node
description:
  - Does it to the processes of services, or to those whose command line a pattern finds. The services of the
    node's own systems are meant where neither is said.
  - Whatever runs before runs again at the end, except processes found by O(pattern) that no service holds.
    PID 1, ssh, dbus, systemd's own services and the testbed's are never touched.
extends_documentation_fragment: foundation.testbed.fault_module
options:
  action:
    description:
      - Needed where O(state=present).
      - C(kill) sends SIGKILL and C(terminate) SIGTERM, once, at the start; the service's own supervision
        brings it back whenever it does, unless O(hold=true).
      - C(pause) stops all processes by SIGSTOP until the end, also those that appear meanwhile.
      - C(restart) is C(systemctl restart). C(crash_loop) sends SIGKILL at every O(interval) until the end.
    type: str
    choices: [kill, terminate, pause, restart, crash_loop]
  unit:
    description: Names of systemd services. One that does not exist is refused.
    type: list
    elements: str
  pattern:
    description: A regular expression that is searched for in command lines, instead of O(unit).
    type: str
  hold:
    description: Keep killed or terminated services down until the end, whoever starts them.
    type: bool
    default: false
  interval:
    description: Time between two kills of a crash loop, C(1s) where it is not given, at least C(100ms).
    type: str
"""

EXAMPLES = r"""
- name: Kill the members of the node's systems; their supervision brings them back
  foundation.testbed.process:
    action: kill
    for: 10s

- name: Have etcd stand still for five seconds
  foundation.testbed.process:
    action: pause
    unit: etcd.service
    for: 5s

- name: Keep etcd down for half a minute, whatever starts it
  foundation.testbed.process:
    action: kill
    unit: etcd.service
    hold: true
    for: 30s

# Ad hoc:
# ansible n1 -i inventories/local -m foundation.testbed.process -a 'action=pause for=20s'
# ansible n1 -i inventories/local -m foundation.testbed.process -a 'action=crash_loop interval=2s for=1min'
# ansible n1 -i inventories/local -m foundation.testbed.process -a 'state=absent'
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
