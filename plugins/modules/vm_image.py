#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_image
short_description: Disks that virtual machines boot from
version_added: 0.3.0
author: Foundation Testbed contributors (@foundation)
description:
  - Makes a disk of each different root file system and size, out of the folders that containers boot from,
    and fetches Debian's kernel for them from this machine's own package sources.
  - Everything is cached, so that a second call finds it.
attributes:
  check_mode:
    description: Says what would be made.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
options:
  nodes:
    description: Nodes as M(foundation.testbed.container_image) returns them.
    type: list
    elements: dict
    required: true
  state_dir:
    description: Folder that holds the cache.
    type: path
    default: /var/lib/foundation-testbed
requirements:
  - e2fsprogs
"""

EXAMPLES = r"""
- name: Make disks to boot from
  foundation.testbed.vm_image:
    nodes: "{{ image.nodes }}"
"""

RETURN = r"""
disks:
  description: Files of all disks that were asked for.
  returned: success
  type: list
  elements: str
made:
  description: Files of the disks that this call made (or would make, in check mode).
  returned: success
  type: list
  elements: str
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError
from ansible_collections.foundation.testbed.plugins.module_utils.lab.vm_image import DEFAULT_BYTES, VmImages


def main() -> None:
    """Make the disks that are missing."""
    module = AnsibleModule(
        argument_spec={
            "nodes": {"type": "list", "elements": "dict", "required": True},
            "state_dir": {"type": "path", "default": "/var/lib/foundation-testbed"},
        },
        supports_check_mode=True,
    )
    store = VmImages(Path(module.params["state_dir"]))
    wanted = {
        (tuple(node["images"]), int(node.get("disk_bytes") or DEFAULT_BYTES))
        for node in module.params["nodes"]
    }
    try:
        made = [
            str(store.base(*each))
            for each in sorted(wanted)
            if (store.missing(*each) if module.check_mode else store.ensure(*each))
        ]
    except LabError as error:
        module.fail_json(msg=f"the disk cannot be made: {error}")
    disks = [str(store.base(*each)) for each in sorted(wanted)]
    module.exit_json(changed=bool(made), made=made, disks=disks)


if __name__ == "__main__":
    main()
