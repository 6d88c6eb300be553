#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: storage
short_description: Make a path read-only, cut a file short, flip bits of a file
description:
  - A file is damaged in place after a durable backup, and restored in place. A path is made read-only by a
    bind mount on itself.
  - What the node or the testbed needs itself is refused, such as C(/etc) and C(/usr).
extends_documentation_fragment: foundation.testbed.fault_module
options:
  action:
    description:
      - What becomes of it. Needed where O(state=present).
      - C(slow), C(errors) and C(lost_writes) are refused, and the message says why.
    type: str
    choices: [read_only, truncate, bit_flip, slow, errors, lost_writes]
  path:
    description: Folder or file that becomes read-only. Of C(read_only).
    type: str
  file:
    description: Absolute path, or a pattern that matches exactly one file. Of C(truncate) and C(bit_flip).
    type: str
  size:
    description: Bytes that are left of the file, such as C(0) or C(4K). Of C(truncate), or else O(bytes).
    type: str
  bytes:
    description: Bytes that are cut off the file's end, such as C(64K). Of C(truncate), or else O(size).
    type: str
  bits:
    description: How many bits are flipped, drawn from O(seed); one if not given. Of C(bit_flip).
    type: int
  restore:
    description:
      - Whether a file is restored even where others have written into it since, or only where they have not.
        C(always) if not given. Of C(truncate).
    type: str
    choices: [always, unwritten]
  unit:
    description:
      - A systemd service stopped before the change and started after it, and again around the way back.
    type: str
"""

EXAMPLES = r"""
- name: Have a member start on a log that is cut short
  foundation.testbed.storage:
    action: truncate
    file: /var/lib/etcd/testbed/member/wal/*.wal
    size: 100
    unit: etcd.service
    for: 20s
  when: inventory_hostname == 'n1'

- name: Let nothing be written to a folder
  foundation.testbed.storage:
    action: read_only
    path: /var/lib/etcd
    for: 10s

# Ad hoc:
# ansible n1 -i inventories/local -m foundation.testbed.storage -a 'action=read_only path=/srv for=30s'
# ansible n1 -i inventories/local -m foundation.testbed.storage -a 'state=absent'
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
