# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a cluster description says of a hypervisor elsewhere, and how ssh gets to it and through it. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from ansible_collections.foundation.testbed.plugins.plugin_utils.cluster_baremetal import (
    Address,
    Fingerprint,
    Ssh,
)
from pydantic import BaseModel, ConfigDict, Field

# The host that it is in the inventory, and its group.
HOST, GROUP = "hypervisor", "testbed_hypervisors"
# Nobody answers a question of this ssh, and nobody waits for a machine that is not there.
_ALONE = ("BatchMode=yes", "ConnectTimeout=10")
_CHECKED = ("StrictHostKeyChecking=yes", "ServerAliveInterval=5", "ServerAliveCountMax=3")


class Hypervisor(BaseModel):
    """A machine elsewhere that has the virtual machines, and how to get at them."""

    model_config = ConfigDict(extra="forbid", strict=True)

    address: Address
    host_key: Fingerprint | None = None
    ssh: Ssh = Ssh()
    known_hosts: Annotated[str, Field(min_length=1)] = "known_hosts"
    # how the controller gets at the machines: through the hypervisor, or straight at their addresses
    reach: Literal["jump", "direct"] = "jump"

    def variables(self, folder: Path) -> dict[str, Any]:
        """Variables of the host; `folder` is the inventory's."""
        options = checked_by(self._known_hosts(folder))
        return {
            "ansible_host": self.address,
            "ansible_connection": "ssh",
            "ansible_user": "root",
            **self.ssh.variables(),
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_ssh_extra_args": options,
            "ansible_sftp_extra_args": options,
            "ansible_scp_extra_args": options,
            "testbed_known_hosts": str(self._known_hosts(folder)),
            **({"testbed_host_key": self.host_key} if self.host_key else {}),
        }

    def machine_variables(self, folder: Path) -> dict[str, Any]:
        """Variables of the machines: which host has them, and the way that leads there."""
        jump = self.jump(folder) if self.reach == "jump" else ""
        ways = ("ansible_ssh_extra_args", "ansible_sftp_extra_args", "ansible_scp_extra_args")
        return {
            "testbed_hypervisor_host": HOST,
            # two labs on two hypervisors may have the same addresses: no connection is shared among them
            "ansible_control_path": f"%(directory)s/{self.address}-%%C",
            **(dict.fromkeys(ways, jump) if jump else {}),
        }

    def jump(self, folder: Path) -> str:
        """Return the arguments of ssh that lead through the hypervisor, as Ansible splits them."""
        said = self.ssh.variables()
        key = said.get("ansible_ssh_private_key_file")
        words = [
            "ssh",
            *("-W", "%h:%p", "-l", said.get("ansible_user", "root"), "-p", str(said.get("ansible_port", 22))),
            *(("-i", _plain(key)) if key else ()),
            # what ssh replaces in a command, it replaces in the option of that command once more
            *_options(f"UserKnownHostsFile={_plain(_quoted(self._known_hosts(folder)))}", *_CHECKED, *_ALONE),
            self.address,
        ]
        return shlex.join(["-o", f"ProxyCommand={shlex.join(words)}"])

    def _known_hosts(self, folder: Path) -> Path:
        return folder / Path(self.known_hosts).expanduser()


def checked_by(known_hosts: Path) -> str:
    """Return the arguments of ssh by which a host's key has to be in a file, as Ansible splits them."""
    return shlex.join(_options(f"UserKnownHostsFile={_quoted(known_hosts)}", *_CHECKED))


def _options(*options: str) -> Iterator[str]:
    for option in options:
        yield from ("-o", option)


def _plain(word: str) -> str:
    """Return a word in which ssh replaces nothing."""
    return word.replace("%", "%%")


def _quoted(path: Path) -> str:
    """Return a path as ssh reads it in a list of files."""
    escaped = _plain(str(path)).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def problems(cluster: Any, hypervisor: Hypervisor) -> Iterator[str]:
    """Yield what of a `Cluster` does not fit a hypervisor elsewhere, one line for each."""
    own = cluster.vm
    if hypervisor.reach == "direct" and own.bridge is None:
        yield (
            "vm.hypervisor.reach: given 'direct' without vm.bridge; allowed: 'jump', as the lab's own bridge "
            "leads nowhere beyond the hypervisor"
        )
    if own.image is not None and not Path(own.image).is_absolute():
        yield f"vm.image: given {own.image!r}; allowed: with vm.hypervisor, an absolute path on it"
    if own.bridge is None and cluster.subnet is not None and hypervisor.address in cluster.subnet:
        yield (
            f"vm.hypervisor.address: given {hypervisor.address}, which is in the subnet {cluster.subnet}; "
            "allowed: an address outside of it, as the subnet is the machines' own"
        )
    for i, node in enumerate(cluster.nodes):
        if node.name == HOST:
            yield f"nodes[{i}].name: given {node.name!r}; allowed: a name that is not the hypervisor's"
