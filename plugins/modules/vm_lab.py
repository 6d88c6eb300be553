#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_lab
short_description: What a lab of virtual machines is made of, beside the machines
version_added: 0.3.0
author: Foundation Testbed contributors (@foundation)
description:
  - Says what has to happen to machines, lays out their files, bridge and keys, waits until they answer, and
    removes all that. The machines themselves are C(community.libvirt)'s; the role C(lab_vm) has all steps.
  - A machine whose address, image or size of the disk changed is made anew; one whose memory or processors
    changed keeps its disk, and has its power cut for it.
attributes:
  check_mode:
    description: It only says what would happen.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
options:
  testbed_id:
    description: Name of the lab.
    type: str
    required: true
  state:
    description:
      - V(planned) compares and changes nothing. V(laid_out) removes machines that are not as wanted, and
        makes files, bridge and keys. V(answering) waits until those in O(names) answer ssh. V(absent) removes
        those in O(names), or everything where none are named.
    type: str
    choices: [planned, laid_out, answering, absent]
    required: true
  nodes:
    description: Nodes as M(foundation.testbed.container_image) returns them.
    type: list
    elements: dict
    default: []
  names:
    description: Nodes that O(state) is about.
    type: list
    elements: str
    default: []
  keep_consoles:
    description: Nodes of which to keep what they printed, with O(state=absent).
    type: list
    elements: str
    default: []
  subnet:
    description: IPv4 network of the lab.
    type: str
  gateway:
    description: This machine's address in that network.
    type: str
  bridge:
    description: A bridge that is there already, in place of the lab's own.
    type: str
  image:
    description:
      - Disk image of the user's own, with cloud-init in it, in place of those that the testbed makes. Nodes
        then need no C(images), and those of their C(packages) that it lacks are installed at the first boot.
    type: path
  nameservers:
    description: Addresses of name servers that machines with O(image) ask.
    type: list
    elements: str
    default: []
  authorized_keys:
    description:
      - Public keys of a controller elsewhere, which get into the machines beside the lab's own. Machines that
        were made for another controller are refused.
    type: list
    elements: str
    default: []
  kvm:
    description: Whether the processor runs the machines itself.
    type: bool
    default: false
  timeout_s:
    description: Seconds within which machines have to answer ssh.
    type: float
    default: 120
  state_dir:
    description: Folder that holds everything of the lab.
    type: path
    default: /var/lib/foundation-testbed
requirements:
  - libvirt-clients
  - qemu-utils
  - xorriso, with O(image)
"""

EXAMPLES = r"""
- name: Compare machines with what is wanted
  foundation.testbed.vm_lab:
    testbed_id: vm
    state: planned
    nodes: "{{ image.nodes }}"
    subnet: 10.77.30.0/24
    gateway: 10.77.30.1
  register: plan
"""

RETURN = r"""
remove:
  description: Machines whose files go.
  returned: when O(state=planned)
  type: list
  elements: str
create:
  description: Machines that are made.
  returned: when O(state=planned)
  type: list
  elements: str
cut:
  description: Machines whose power has to be cut first.
  returned: when O(state=planned)
  type: list
  elements: str
define:
  description: Machines that libvirt has to be told of, some of them anew.
  returned: when O(state=planned)
  type: list
  elements: str
start:
  description: Machines that have to be started.
  returned: when O(state=planned)
  type: list
  elements: str
standing:
  description: Whether there was anything of this lab before.
  returned: when O(state=planned)
  type: bool
domains:
  description: Each machine's definition, by the name of its node.
  returned: when O(state=laid_out)
  type: dict
known_hosts:
  description: Lines by which ssh knows the machines; of those that stand with O(state=planned).
  returned: when O(state=planned) or O(state=laid_out)
  type: list
  elements: str
consoles:
  description: Where what machines printed was kept, by node.
  returned: when O(state=absent)
  type: dict
"""

from pathlib import Path
from typing import Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.foundation.testbed.plugins.module_utils.lab import bridge, libvirt, owner
from ansible_collections.foundation.testbed.plugins.module_utils.lab.boot_image import ImageBoot, OwnImage
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError
from ansible_collections.foundation.testbed.plugins.module_utils.lab.lab import Lab
from ansible_collections.foundation.testbed.plugins.module_utils.lab.node import node_specs
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths
from ansible_collections.foundation.testbed.plugins.module_utils.lab.vm import VmLab, plan, told


def planned(lab: VmLab, params: dict, check_mode: bool) -> dict:
    """Say what has to happen; where libvirt is not there yet, check mode need not ask it."""
    fresh = check_mode and not lab.paths.node_names() and libvirt.problem() is not None
    present = {} if fresh else lab.present()
    change = plan(node_specs(params), present)
    known_hosts = lab.known_hosts()
    return {"changed": change.needed, "standing": bool(present), "known_hosts": known_hosts, **told(change)}


def laid_out(lab: VmLab, params: dict, check_mode: bool) -> dict:
    """Make files, bridge and keys, and describe the machines."""
    specs = node_specs(params)
    change = plan(specs, lab.present())
    if check_mode:
        return {"changed": change.needed, "domains": {}, "known_hosts": []}
    if params["bridge"] is None:
        bridge.ensure(params["testbed_id"], params["gateway"], params["subnet"])
    elif not bridge.is_bridge(params["bridge"]):
        raise LabError(f"vm.bridge: given {params['bridge']}; allowed: a bridge of this machine's")
    lab.lay_out(change, specs)
    domains = {spec.name: lab.domain(spec, params["kvm"]).xml() for spec in specs}
    return {"changed": change.needed, "domains": domains, "known_hosts": lab.known_hosts()}


def answering(lab: VmLab, params: dict, _check_mode: bool) -> dict:
    """Wait until machines answer."""
    specs = [spec for spec in node_specs(params) if spec.name in params["names"]]
    silent = lab.await_ready(specs, params["timeout_s"])
    if silent:
        raise LabError("; ".join(f"{name}: {why}" for name, why in sorted(silent.items())))
    return {"changed": False}


def absent(lab: VmLab, params: dict, check_mode: bool) -> dict:
    """Remove machines, or all there is of the lab."""
    there = lab.paths.home.exists() or bridge.present(bridge.bridge_name(params["testbed_id"]))
    if there and not check_mode:
        libvirt.ensure()  # whoever rebooted this machine has machines in it all the same
    if libvirt.problem() is None:
        there = there or bool(lab.present())
    if check_mode or not there:
        return {"changed": there, "consoles": {}}
    consoles = lab.keep_consoles(params["keep_consoles"])
    lab.remove(params["names"])
    return {"changed": there, "consoles": consoles}


STATES = {
    "planned": planned,
    "laid_out": laid_out,
    "answering": answering,
    "absent": absent,
}


def how_to_boot(params: dict) -> Optional[ImageBoot]:
    """Return how machines boot the user's own image, None without one; nodes learn what they are made of."""
    if params["image"] is None or params["state"] == "absent":
        return None
    packages = {node["name"]: node["packages"] for node in params["nodes"]}
    image = OwnImage.at(Path(params["image"]))
    boot = ImageBoot(params["testbed_id"], image, packages, params["nameservers"])
    for node in params["nodes"]:
        image.disk_bytes(node.get("disk_bytes") and int(node["disk_bytes"]), node["name"])
        node["images"] = boot.images(node["name"])
    return boot


def main() -> None:
    """Do one step."""
    module = AnsibleModule(
        argument_spec={
            "testbed_id": {"type": "str", "required": True},
            "state": {"type": "str", "choices": list(STATES), "required": True},
            "nodes": {"type": "list", "elements": "dict", "default": []},
            "names": {"type": "list", "elements": "str", "default": []},
            "keep_consoles": {"type": "list", "elements": "str", "default": []},
            "subnet": {"type": "str"},
            "gateway": {"type": "str"},
            "bridge": {"type": "str"},
            "image": {"type": "path"},
            "nameservers": {"type": "list", "elements": "str", "default": []},
            "authorized_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "kvm": {"type": "bool", "default": False},
            "timeout_s": {"type": "float", "default": 120.0},
            "state_dir": {"type": "path", "default": "/var/lib/foundation-testbed"},
        },
        required_if=[
            ("state", each, ("nodes", "subnet", "gateway")) for each in ("planned", "laid_out", "answering")
        ],
        supports_check_mode=True,
    )
    paths = LabPaths(Path(module.params["state_dir"]), module.params["testbed_id"])
    try:
        with Lab(paths).locked():
            owner.require(paths, "vm")
            lab = VmLab(
                paths, module.params["bridge"], how_to_boot(module.params), module.params["authorized_keys"]
            )
            if module.params["state"] != "absent":
                lab.require_controller()
            result = STATES[module.params["state"]](lab, module.params, module.check_mode)
    except (LabError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
