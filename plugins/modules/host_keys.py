#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: host_keys
short_description: Know the keys of hosts before anything is said to them
version_added: 0.2.0
author: Foundation Testbed contributors (@foundation)
description:
  - Runs on the controller. A host is known by a line of the inventory's C(known_hosts) file, or by a
    fingerprint in C(cluster.yml) (C(host_key)) that its key has; the line is written then.
  - A key that nobody has checked is never accepted by itself. It is returned, so that a person can be asked.
  - A host that has another key than the inventory says is refused.
attributes:
  check_mode:
    description: Says what would be written.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
options:
  hosts:
    description: Names of the hosts.
    type: list
    elements: str
    required: true
  accepted:
    description: Fingerprints that a person has compared.
    type: list
    elements: str
    default: []
  required:
    description: Whether a key that nobody has checked is a failure.
    type: bool
    default: true
requirements:
  - ssh-keyscan and ssh-keygen (openssh-client)
"""

EXAMPLES = r"""
- name: Know every host, or say which is not known
  foundation.testbed.host_keys:
    hosts: "{{ groups['provider_baremetal'] }}"
"""

RETURN = r"""
unknown:
  description: Fingerprints of keys that nobody has checked.
  returned: success
  type: list
  elements: str
question:
  description: What to ask a person about them, empty where there are none.
  returned: success
  type: str
"""
