#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: install_packages
short_description: Install Python packages of this collection on a node, as one file
description:
  - Packs modules and packages into a zip and copies it to the node. Python imports from it where it is part
    of E(PYTHONPATH).
  - The same files give the same bytes, so nothing is changed where they are in place. What was removed from
    the sources is gone with the next zip.
version_added: 0.3.0
author: Foundation Testbed contributors (@foundation)
attributes:
  check_mode:
    description: Says whether the node's file would be replaced.
    support: full
  diff_mode:
    description: As M(ansible.builtin.copy) does it for a file that is not text.
    support: partial
options:
  dest:
    description: Path of the zip on the node, in a folder that is there.
    type: path
    required: true
  sources:
    description: What is packed.
    type: list
    elements: dict
    required: true
    suboptions:
      src:
        description: Absolute path of a module or of the folder of a package, on the controller.
        type: path
        required: true
      name:
        description: Its name in the zip; its own by default.
        type: str
"""

EXAMPLES = r"""
- name: Install the service
  foundation.testbed.install_packages:
    dest: /opt/foundation/foundation.zip
    sources:
      - src: "{{ role_path }}/files/foundation_service"
      - src: "{{ role_path }}/../etcd/files/client_errors.py"
        name: etcd_errors.py
"""

RETURN = r"""
dest:
  description: Path of the zip on the node.
  returned: success
  type: str
  sample: /opt/foundation/foundation.zip
checksum:
  description: SHA-1 checksum of the zip.
  returned: success
  type: str
"""
