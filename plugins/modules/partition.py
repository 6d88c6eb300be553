#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: partition
short_description: Cut nodes from each other
description:
  - Drops the packets between nodes by rules of the kernel that end by themselves. Clients keep reaching all
    sides unless O(clients=cut).
  - Every host of the play takes its own part; a host that has none is left alone. Say either O(groups), or
    O(shape), or O(peers).
extends_documentation_fragment: foundation.testbed.fault_module
options:
  groups:
    description: Named groups of nodes that cannot reach each other.
    type: dict
  shape:
    description:
      - A cut by rule, of the hosts of the play, whatever is random drawn from O(seed).
      - C(alone) cuts each of them from all other nodes; C(majority) a random minority from the rest;
        C(halves) and C(random) split them; C(majorities_ring) lets each see another majority; C(bridge) lets
        one node alone see both halves; C(one_way) cuts the way from the first of two O(groups) to the second.
    type: str
    choices: [alone, majority, halves, random, majorities_ring, bridge, one_way]
  peers:
    description: Names or addresses that each host of the play is cut from.
    type: list
    elements: str
  clients:
    description: Whether clients on the observers keep reaching all sides, or find themselves on the first.
    type: str
    choices: [stay, cut]
    default: stay
  protocol:
    description: Drop packets of this protocol only.
    type: str
    choices: [tcp, udp, icmp]
  ports:
    description: Drop packets from and to these ports only; of C(tcp) unless O(protocol) says otherwise.
    type: list
    elements: int
"""

EXAMPLES = r"""
- name: Cut three nodes from two for twenty seconds
  foundation.testbed.partition:
    for: 20s
    groups:
      majority: [n1, n2, n3]
      minority: [n4, n5]

- name: Cut what etcd's members say to each other, and nothing else
  foundation.testbed.partition:
    for: 20s
    shape: halves
    ports: [2380]

# Ad hoc:
# ansible n1 -i inventories/local -m foundation.testbed.partition -a 'peers=n2,n3 for=30s'
# ansible n1 -i inventories/local -m foundation.testbed.partition -a 'state=absent'
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
