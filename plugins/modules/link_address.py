#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: link_address
short_description: The network device that has an address, and its link address
version_added: 0.1.0
author: Foundation Testbed contributors (@foundation)
description:
  - Tells by which link address (MAC) the neighbours of a host know its frames.
  - Nothing is changed.
attributes:
  check_mode:
    description: It only asks.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
options:
  address:
    description: The host's own address in the testbed.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Ask for the link address
  foundation.testbed.link_address:
    address: "{{ testbed_address }}"
"""

RETURN = r"""
device:
  description: Name of the network device.
  returned: success
  type: str
  sample: host0
mac:
  description: Its link address.
  returned: success
  type: str
  sample: 8e:83:24:e2:22:8e
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.foundation.testbed.plugins.module_utils.network.layout import device_of


def main() -> None:
    """Tell the device and its link address."""
    module = AnsibleModule(
        argument_spec={"address": {"type": "str", "required": True}}, supports_check_mode=True
    )
    address = module.params["address"]
    found = device_of(address)
    if not found or not found["mac"]:
        module.fail_json(msg=f"no network device with a link address has the address {address}")
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
