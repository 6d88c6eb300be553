#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: container_image
short_description: Root file systems for the nodes of a container lab
version_added: 0.1.0
author: Foundation Testbed contributors (@foundation)
description:
  - Builds one base root file system with mmdebstrap, and a layer on it for each different set of packages.
  - Both are cached by the hash of their recipe, so that a second call finds them.
  - On a machine that runs the same Debian release, its own package sources and apt settings are used.
attributes:
  check_mode:
    description: Says what would be built.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
options:
  nodes:
    description: Nodes, each with at least C(name) and C(packages).
    type: list
    elements: dict
    required: true
  state_dir:
    description: Folder that holds the cache.
    type: path
    default: /var/lib/foundation-testbed
requirements:
  - mmdebstrap
  - systemd-container
"""

EXAMPLES = r"""
- name: Build what the nodes boot from
  foundation.testbed.container_image:
    nodes: "{{ groups['provider_container'] | foundation.testbed.lab_nodes(hostvars) }}"
  register: image
"""

RETURN = r"""
nodes:
  description: The nodes as given, each with C(images), the folders to stack, the topmost first.
  returned: success
  type: list
  elements: dict
built:
  description: Hashes of the images that this call built (or would build, in check mode).
  returned: success
  type: list
  elements: str
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError
from ansible_collections.foundation.testbed.plugins.module_utils.lab.image import (
    BASE_PACKAGES,
    ImageStore,
    recipe,
    recipe_hash,
)


def main() -> None:
    """Build missing images and say which node boots from what."""
    module = AnsibleModule(
        argument_spec={
            "nodes": {"type": "list", "elements": "dict", "required": True},
            "state_dir": {"type": "path", "default": "/var/lib/foundation-testbed"},
        },
        supports_check_mode=True,
    )
    store = ImageStore(Path(module.params["state_dir"]), Path(module.tmpdir))
    base = recipe(BASE_PACKAGES)
    wanted, nodes = [base], []
    for node in module.params["nodes"]:
        images = [base]
        if node["packages"]:
            images.insert(0, recipe(node["packages"], below=recipe_hash(base)))
        wanted += [image for image in images if image not in wanted]
        nodes.append(dict(node, images=[str(store.path(image)) for image in images]))
    try:
        built = [
            recipe_hash(image)
            for image in wanted
            if (store.missing(image) if module.check_mode else store.ensure(image))
        ]
    except LabError as error:
        module.fail_json(msg=f"the image cannot be built: {error}")
    module.exit_json(changed=bool(built), nodes=nodes, built=built)


if __name__ == "__main__":
    main()
