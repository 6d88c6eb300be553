#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: hypervisor
short_description: libvirt on this machine, ready for virtual machines
version_added: 0.3.0
author: Foundation Testbed contributors (@foundation)
description:
  - Does nothing where libvirt answers at C(qemu:///system). Where it does not, and systemd is not the first
    process here, it starts a daemon, with a configuration that this daemon alone sees.
  - With O(state=absent) it ends the daemon that it started, unless libvirt knows machines of a testbed; a
    daemon that somebody else started is left alone.
attributes:
  check_mode:
    description: Says whether a daemon would be started or ended.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
options:
  state:
    description: Whether libvirt has to answer.
    type: str
    choices: [present, absent]
    default: present
  state_dir:
    description: Folder that holds the image cache.
    type: path
    default: /var/lib/foundation-testbed
requirements:
  - libvirt-clients
"""

EXAMPLES = r"""
- name: Have libvirt answer
  foundation.testbed.hypervisor:

- name: End the daemon that was started for it
  foundation.testbed.hypervisor:
    state: absent
"""

RETURN = r"""
kvm:
  description:
    - Whether the processor runs guests itself, tried by booting one (once in a boot of this machine); else
      they are emulated. In check mode nothing is booted, and the device is believed.
  returned: O(state=present)
  type: bool
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.foundation.testbed.plugins.module_utils.lab import libvirt
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError
from ansible_collections.foundation.testbed.plugins.module_utils.lab.vm_image import VmImages


def make_present(check_mode: bool) -> bool:
    """Have libvirt answer; returns whether a daemon was, or would be, started."""
    return libvirt.needs_daemon() if check_mode else libvirt.ensure()


def make_absent(check_mode: bool) -> bool:
    """End our daemon unless it is needed; returns whether it was, or would be, ended."""
    if libvirt.our_daemon() is None or libvirt.known("tb-"):
        return False
    if not check_mode:
        libvirt.stop()
    return True


def main() -> None:
    """Bring libvirt into the wanted state."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "state_dir": {"type": "path", "default": "/var/lib/foundation-testbed"},
        },
        supports_check_mode=True,
    )
    try:
        if module.params["state"] == "absent":
            module.exit_json(changed=make_absent(module.check_mode))
        images = VmImages(Path(module.params["state_dir"]))
        changed = make_present(module.check_mode)
        module.exit_json(changed=changed, kvm=images.kvm_works(module.check_mode))
    except LabError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
