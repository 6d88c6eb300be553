# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which power switch a node has, out of Ansible's variables: its name for the plan, all for the program."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible_collections.foundation.testbed.plugins.module_utils.faults._switches import NONE

# Providers whose nodes have one switch, which the provider itself is.
OWN_SWITCH = ("container", "vm")
# Variables with arguments of ssh.
SSH_ARGUMENTS = ("ansible_ssh_common_args", "ansible_ssh_extra_args")

Record = dict[str, Any]


def switch_name(variables: Mapping[str, Any]) -> str:
    """Return the name of a node's switch, as `faults/_switches.py` lists what each can do."""
    provider = str(variables.get("testbed_provider", "baremetal"))
    if provider in OWN_SWITCH:
        return provider
    return str(variables.get("testbed_power_switch") or NONE)


def switch_said(variables: Mapping[str, Any]) -> Record:
    """Return all that the power program needs to know of a node's switch, with its password."""
    provider = str(variables.get("testbed_provider", "baremetal"))
    return {"provider": provider, **_OF_PROVIDER.get(provider, lambda _variables: {})(variables)}


def unknown(nodes: Iterable[str], hostvars: Mapping[str, Any]) -> list[str]:
    """Return a line for each node of whose switch something is not known, such as a vault's password."""
    found = []
    for node in nodes:
        try:
            switch_said(hostvars[node])
        except AnsibleError as error:
            told = " ".join(str(error).split())
            found.append(
                f"power: {node}: given what cannot be read: {told}; allowed: variables that are defined"
            )
    return found


def _of_host(variables: Mapping[str, Any]) -> Record:
    power = {str(key): value for key, value in (variables.get("testbed_power") or {}).items()}
    if power.get("ca"):  # the program works elsewhere than in the inventory's folder
        folder = Path(str(variables.get("inventory_dir") or "."))
        power["ca"] = str((folder / Path(str(power["ca"])).expanduser()).absolute())
    return {"power": {key: _plain(value) for key, value in power.items()}, "host": host_said(variables)}


def _of_vm(variables: Mapping[str, Any]) -> Record:
    vm = {
        "uri": str(variables.get("testbed_hypervisor") or ""),
        "domain": str(variables.get("testbed_domain") or ""),
    }
    # the program runs beside the machine: extra arguments lead through a hypervisor elsewhere
    ways = SSH_ARGUMENTS[:1] if variables.get("testbed_hypervisor_host") else SSH_ARGUMENTS
    return {"vm": vm, "host": host_said(variables, ways)}


_OF_PROVIDER = {"baremetal": _of_host, "vm": _of_vm}


def host_said(variables: Mapping[str, Any], ways: Iterable[str] = SSH_ARGUMENTS) -> Record:
    """Return how ssh gets to a root shell of a host, as Ansible's own ssh connection would."""
    key = variables.get("ansible_ssh_private_key_file")
    words = (str(variables.get(name) or "") for name in ways)
    user = variables.get("ansible_user")
    return {
        "address": str(variables.get("ansible_host") or variables["testbed_address"]),
        "port": int(variables.get("ansible_port") or 22),
        "user": str(user) if user else None,
        "key": str(Path(str(key)).expanduser()) if key else None,
        "become": bool(variables.get("ansible_become", False)),
        "options": shlex.split(" ".join(words)),
    }


def _plain(value: Any) -> Any:
    """Return a value without what Ansible has tagged it with."""
    return int(value) if isinstance(value, int) else str(value)
