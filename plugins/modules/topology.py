#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: topology
short_description: A node's part of the topology
description:
  - Refuses frames that come directly from nodes with which this node shares no link, sends packets to them
    through the nodes between, forwards packets for other nodes, and holds what leaves over a link for the
    link's latency.
  - Units of systemd hold it, so that it is there after a reboot. Observers and the controller are not
    concerned.
  - A full mesh without latency needs none of that; what is there of an earlier topology is then removed.
extends_documentation_fragment: foundation.testbed.node_module
options:
  state:
    description: Whether the topology is to be laid out.
    type: str
    choices: [present, absent]
    default: present
  node:
    description: Name of this node. Required where it is to be laid out.
    type: str
  addresses:
    description: Address of every node, in the order of the inventory.
    type: dict
    default: {}
  macs:
    description: Link address of every node, as M(foundation.testbed.link_address) tells it.
    type: dict
    default: {}
  links:
    description: Every link of the testbed, empty for a full mesh without latency.
    type: list
    elements: dict
    default: []
    suboptions:
      between:
        description: Names of its two nodes.
        type: list
        elements: str
        required: true
      latency_ms:
        description: Milliseconds for which the first node holds what it sends to the second.
        type: float
        default: 0
      back_ms:
        description: Milliseconds for which the second node holds what it sends to the first.
        type: float
        default: 0
  restarted:
    description: Whether to lay it out anew although nothing changed but the agent, which holds it.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Lay out the topology
  foundation.testbed.topology:
    testbed_id: "{{ testbed_id }}"
    node: "{{ inventory_hostname }}"
    addresses: {n1: 10.77.0.11, n2: 10.77.0.12, n3: 10.77.0.13}
    macs: {n1: '8e:83:24:e2:22:01', n2: '8e:83:24:e2:22:02', n3: '8e:83:24:e2:22:03'}
    links:
      - {between: [n1, n2], latency_ms: 5, back_ms: 5}
      - {between: [n2, n3], latency_ms: 8, back_ms: 8}
"""

RETURN = r"""
backend:
  description: What holds packets on this node, C(netem) or C(nfqueue), null where no link has a latency.
  returned: success
  type: str
units:
  description: The units that hold the topology.
  returned: success
  type: list
  elements: str
repaired:
  description: What was not in place although it had been laid out.
  returned: success
  type: list
  elements: str
"""

import json
from dataclasses import asdict
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.foundation.testbed.plugins.module_utils.agent.ansible_module import enrolled_module
from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import read_json, write_json
from ansible_collections.foundation.testbed.plugins.module_utils.network import layout
from ansible_collections.foundation.testbed.plugins.module_utils.network.part import CONFIG, Part
from ansible_collections.foundation.testbed.plugins.module_utils.network.units import ALL, units

UNIT_DIR = Path("/etc/systemd/system")


def part_of(params: dict) -> Part:
    """Return this node's part; raises KeyError where a node has no address or link address."""
    node = params["node"]
    held = {}
    for link in params["links"]:
        one, other = link["between"]
        if node in (one, other):
            held[other if node == one else one] = link["latency_ms"] if node == one else link["back_ms"]
    return Part(
        testbed_id=params["testbed_id"],
        node=node,
        addresses=params["addresses"],
        macs={name: params["macs"][name].lower() for name in params["addresses"]},
        links=[list(link["between"]) for link in params["links"]],
        latency_ms={name: latency_ms for name, latency_ms in held.items() if latency_ms},
    )


class Topology:
    """What is to be on this node, and what is."""

    def __init__(self, module: AnsibleModule):
        self.module = module
        self.part = None
        if module.params["state"] == "present" and module.params["links"]:
            self.part = self._with_backend(part_of(module.params))
        self.units = units(self.part) if self.part else {}
        self.before = read_json(CONFIG)
        self.after = asdict(self.part) if self.units else None

    def _with_backend(self, part: Part) -> Part:
        if not part.held_ms():
            return part
        device = layout.device_of(part.own).get("device", "")
        return Part(**{**asdict(part), "backend": layout.choose_backend(device)})

    def outdated(self) -> list:
        """Return the units whose text on this node is another, or which are there and should not be."""
        return [name for name in ALL if _text(UNIT_DIR / name) != self.units.get(name)]

    def lacking(self) -> list:
        """Return what is not in place of what was laid out."""
        if not self.units or self.before != self.after:
            return []
        idle = [f"{name} runs" for name in self.units if self._systemctl("is-active", name)[0] != 0]
        return layout.missing(self.part) + idle

    def present(self, outdated: list) -> None:
        """Lay it out anew."""
        CONFIG.parent.mkdir(parents=True, exist_ok=True)
        self._remove([name for name in outdated if name not in self.units])
        write_json(CONFIG, self.after, durable=True)
        for name, text in self.units.items():
            (UNIT_DIR / name).write_text(text, encoding="utf-8")
        self._do("daemon-reload")
        self._do("enable", *self.units)
        self._do("restart", *self.units)

    def absent(self) -> None:
        """Remove every trace of it."""
        self._remove([name for name in ALL if (UNIT_DIR / name).exists()])
        layout.down()
        CONFIG.unlink(missing_ok=True)

    def _remove(self, names: list) -> None:
        for name in reversed(names):
            self._do("disable", "--now", name)
            (UNIT_DIR / name).unlink()
        if names:
            self._do("daemon-reload")

    def _systemctl(self, *arguments: str) -> tuple:
        return self.module.run_command(["systemctl", *arguments])

    def _do(self, *arguments: str) -> None:
        status, _output, errors = self._systemctl(*arguments)
        if status != 0:
            self.module.fail_json(msg=f"systemctl {' '.join(arguments)}: {errors.strip()}")


def _text(path: Path) -> object:
    return path.read_text(encoding="utf-8") if path.exists() else None


def main() -> None:
    """Lay out this node's part of the topology, or remove it."""
    link = {
        "between": {"type": "list", "elements": "str", "required": True},
        "latency_ms": {"type": "float", "default": 0.0},
        "back_ms": {"type": "float", "default": 0.0},
    }
    module = enrolled_module(
        {
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "node": {"type": "str"},
            "addresses": {"type": "dict", "default": {}},
            "macs": {"type": "dict", "default": {}},
            "links": {"type": "list", "elements": "dict", "options": link, "default": []},
            "restarted": {"type": "bool", "default": False},
        },
        required_if=[("state", "present", ["node"])],
    )
    try:
        topology = Topology(module)
    except KeyError as error:
        module.fail_json(msg=f"macs: given none for {error}; allowed: one for every node of addresses")
    outdated, lacking = topology.outdated(), topology.lacking()
    anew = bool(topology.units) and module.params["restarted"]
    changed = anew or bool(outdated or lacking) or topology.before != topology.after
    if changed and not module.check_mode:
        if topology.units:
            topology.present(outdated)
        else:
            topology.absent()
    module.exit_json(
        changed=changed,
        backend=topology.part.backend if topology.part else None,
        units=list(topology.units),
        repaired=lacking,
        diff={"before": _shown(topology.before), "after": _shown(topology.after)},
    )


def _shown(config: object) -> str:
    return "" if config is None else json.dumps(config, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    main()
