#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: link
short_description: Delay, lose, double, damage, reorder or slow down packets between nodes
description:
  - Impairs the packets that each host of the play sends to some of its peers. At least one of O(delay),
    O(loss), O(duplicate), O(corrupt), O(reorder) and O(rate) is needed where O(state=present); together they
    make one link.
  - Is done by tc netem where the kernel has it and its own default qdisc is at the root of the device, else
    by a queue of netfilter that a program on the node empties.
  - Only packets to the chosen peers are impaired, never those to the management address.
extends_documentation_fragment: foundation.testbed.fault_module
options:
  delay:
    description: Time by which every packet is delayed, such as C(50ms); at most a minute with its jitter.
    type: str
  jitter:
    description:
      - How far the delay varies, at most the O(delay). Half the width of a uniform distribution, one standard
        deviation of a normal one.
    type: str
  distribution:
    description: How the O(jitter) is distributed; C(uniform) where it is not given.
    type: str
    choices: [uniform, normal, pareto]
  loss:
    description: Percentage of packets that are lost.
    type: float
  loss_burst:
    description: Mean number of packets lost in a row. Without it each is lost by itself.
    type: float
  duplicate:
    description: Percentage of packets that arrive twice.
    type: float
  corrupt:
    description: Percentage of packets in which one bit is flipped.
    type: float
  reorder:
    description: Percentage of packets that overtake those that wait for their O(delay).
    type: float
  rate:
    description: Bits a second that pass, such as C(512kbit) or C(10mbit).
    type: str
  peers:
    description: Names or addresses whose packets are impaired, instead of all other nodes.
    type: list
    elements: str
  protocol:
    description: Impair packets of this protocol only.
    type: str
    choices: [tcp, udp, icmp]
  ports:
    description: Impair packets from and to these ports only; of C(tcp) unless O(protocol) says otherwise.
    type: list
    elements: int
  backend:
    description: Do it this way, or refuse. What the node has is used where it is not given.
    type: str
    choices: [netem, nfqueue]
"""

EXAMPLES = r"""
- name: Put fifty milliseconds between all nodes for half a minute
  foundation.testbed.link:
    delay: 50ms
    jitter: 10ms
    for: 30s

- name: A bad line from these hosts to one peer
  foundation.testbed.link:
    loss: 5
    loss_burst: 10
    rate: 10mbit
    peers: [n2]
    for: 20s

- name: Lose a tenth of what etcd's members say to each other, and nothing else
  foundation.testbed.link:
    loss: 10
    ports: [2380]
    for: 20s

# Ad hoc:
# ansible n1 -i inventories/local -m foundation.testbed.link -a 'delay=100ms loss=1 peers=n2,n3 for=30s'
# ansible n1 -i inventories/local -m foundation.testbed.link -a 'state=absent'
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
