#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: reach
short_description: Whether a host reaches its peers
version_added: 0.1.0
author: Foundation Testbed contributors (@foundation)
description:
  - Opens a TCP connection to every peer, and fails naming those that cannot be reached.
  - Where it is told what to expect of the ways to some peers, it measures them with pings, and fails naming
    those whose answers come over another number of links, or whose median round trip is neither within 10 %
    nor within 2 ms.
  - Nothing is changed.
attributes:
  check_mode:
    description: It only asks.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
options:
  peers:
    description: Address of each peer, by name.
    type: dict
    required: true
  port:
    description: TCP port that peers listen on.
    type: int
    default: 22
  expected:
    description:
      - What to expect of the way to a peer, by its name, C(rtt_ms) and C(hops); needs root.
      - The expected hops are links that an answer comes over, so 1 for a neighbour.
    type: dict
    default: {}
  strict:
    description: Whether to fail where a way is not as expected; else it is only told.
    type: bool
    default: true
  timeout_s:
    description: Seconds within which every peer has to be reached, and then every way has to be as expected.
    type: float
    default: 10
"""

EXAMPLES = r"""
- name: Check that the mesh is whole
  foundation.testbed.reach:
    peers:
      n1: 10.77.0.11
      n2: 10.77.0.12

- name: Check that n3 is two links away
  foundation.testbed.reach:
    peers: {n3: 10.77.0.13}
    expected: {n3: {rtt_ms: 20, hops: 2}}
"""

RETURN = r"""
connect_ms:
  description: Time that it took to connect to each peer, in milliseconds.
  returned: success
  type: dict
ways:
  description:
    - Of each peer of which something is expected, C(asked_ms) and C(measured_ms) (the median), C(asked_hops)
      and C(hops), how many C(answers) there were, and whether that is C(right).
  returned: always
  type: dict
deviations:
  description: What is not as expected, in words.
  returned: always
  type: list
  elements: str
"""

import socket
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.foundation.testbed.plugins.module_utils.network.measure import (
    deviation,
    measure_until_right,
)


def connect_ms(address: str, port: int, deadline: float) -> float:
    """Milliseconds of a TCP connect, tried again until `deadline` (monotonic s); raises OSError after it."""
    while True:
        began = time.monotonic()
        try:
            with socket.create_connection((address, port), timeout=max(deadline - began, 0.1)):
                return round((time.monotonic() - began) * 1000, 3)
        except OSError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.1)


def main() -> None:
    """Reach every peer, and measure the ways."""
    module = AnsibleModule(
        argument_spec={
            "peers": {"type": "dict", "required": True},
            "port": {"type": "int", "default": 22},
            "expected": {"type": "dict", "default": {}},
            "strict": {"type": "bool", "default": True},
            "timeout_s": {"type": "float", "default": 10.0},
        },
        supports_check_mode=True,
    )
    deadline = time.monotonic() + module.params["timeout_s"]
    times, missing = {}, {}
    for name, address in module.params["peers"].items():
        try:
            times[name] = connect_ms(address, module.params["port"], deadline)
        except OSError as error:
            missing[name] = f"{address}: {error}"
    if missing:
        module.fail_json(msg="cannot reach " + ", ".join(f"{name} ({why})" for name, why in missing.items()))
    expected = {name: asked for name, asked in module.params["expected"].items() if name in times}
    ways = measure_until_right(module.params["peers"], expected, module.params["timeout_s"])
    deviations = [deviation(name, way) for name, way in ways.items() if not way["right"]]
    if deviations and module.params["strict"]:
        told = "; ".join(deviations)
        module.fail_json(msg=f"the topology is not as asked: {told}", ways=ways, deviations=deviations)
    module.exit_json(changed=False, connect_ms=times, ways=ways, deviations=deviations)


if __name__ == "__main__":
    main()
