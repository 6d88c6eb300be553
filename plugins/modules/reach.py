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
  timeout_s:
    description: Seconds within which every peer has to be reached.
    type: float
    default: 10
"""

EXAMPLES = r"""
- name: Check that the mesh is whole
  foundation.testbed.reach:
    peers:
      n1: 10.77.0.11
      n2: 10.77.0.12
"""

RETURN = r"""
connect_ms:
  description: Time that it took to connect to each peer, in milliseconds.
  returned: success
  type: dict
"""

import socket
import time

from ansible.module_utils.basic import AnsibleModule


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
    """Reach every peer."""
    module = AnsibleModule(
        argument_spec={
            "peers": {"type": "dict", "required": True},
            "port": {"type": "int", "default": 22},
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
    module.exit_json(changed=False, connect_ms=times)


if __name__ == "__main__":
    main()
