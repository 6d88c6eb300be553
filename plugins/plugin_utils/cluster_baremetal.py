# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a cluster description says of hosts that exist: addresses, how ssh gets there, power switches."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import netaddr
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import shown
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import Mistakes
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

# Keys of one host that only hosts which exist have.
OWN_KEYS = ("address", "host_key", "power", "ssh")
# A reference to a variable, which ansible-vault can keep.
_VARIABLE = re.compile(r"\{\{.*\}\}", re.DOTALL)
NOTHING_LIMITED = (
    "nothing with provider baremetal, as a host keeps its own limits; those of a system's service stand in "
    "its unit on the host"
)


def _address(value: object) -> str:
    try:
        address = netaddr.IPAddress(value if isinstance(value, str) else "")
    except (netaddr.AddrFormatError, ValueError):
        address = None
    if address is None or address.version != 4 or str(address) != value or not _is_host(address):
        raise ValueError(f"given {shown(value)}; allowed: the IPv4 address of a host, such as 192.0.2.11")
    return str(address)


def _is_host(address: netaddr.IPAddress) -> bool:
    """Whether a host can have it: nothing of 0/8, no loopback, multicast, class E or broadcast."""
    return 2**24 <= int(address) < 224 * 2**24 and not address.is_loopback()


def _fingerprint(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"SHA256:[A-Za-z0-9+/]{43}", value):
        raise ValueError(
            f"given {shown(value)}; allowed: a fingerprint as ssh-keygen -l prints it: SHA256: and 43 letters"
        )
    return value


def _secret(value: object) -> str:
    # what was given is a secret, and is never repeated
    if not isinstance(value, str) or not _VARIABLE.fullmatch(value.strip()):
        raise ValueError(
            "given something else than a variable; allowed: a variable that ansible-vault keeps, such as "
            '"{{ vault_bmc_password }}"'
        )
    return value


Address = Annotated[str, BeforeValidator(_address)]
Fingerprint = Annotated[str, BeforeValidator(_fingerprint)]
Secret = Annotated[str, BeforeValidator(_secret)]
Port = Annotated[int, Field(ge=1, le=65535)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Ssh(_Strict):
    """How ssh gets to a host; what is not given is the group's, or left to the inventory's own variables."""

    user: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_.-]{0,31}$")] | None = None
    port: Port | None = None
    key: str | None = None
    become: bool | None = None

    def variables(self) -> dict[str, Any]:
        """Return what Ansible calls them; another user than root becomes root unless it is said not to."""
        become = self.become if self.become is not None else (self.user != "root" if self.user else None)
        found = {
            "ansible_user": self.user,
            "ansible_port": self.port,
            "ansible_ssh_private_key_file": str(Path(self.key).expanduser()) if self.key else None,
            "ansible_become": become,
        }
        return {name: value for name, value in found.items() if value is not None}


class Power(_Strict):
    """The power switch of a host: its management controller, or the kernel's own (sysrq)."""

    switch: Literal["redfish", "ipmi", "sysrq"]
    address: Address | None = None
    port: Port | None = None
    user: str | None = None
    password: Secret | None = None
    # Redfish: which of the controller's systems, where it has several; its certificate authority.
    system: str | None = None
    ca: str | None = None
    # IPMI: for controllers that do not say themselves which they know.
    cipher_suite: Annotated[int, Field(ge=1, le=17)] | None = None

    @model_validator(mode="after")
    def _whole(self) -> Power:
        needed = () if self.switch == "sysrq" else ("address", "user", "password")
        missing = [name for name in needed if getattr(self, name) is None]
        if missing:
            raise ValueError(f"{missing[0]}: is required but missing for the switch {self.switch}")
        foreign = [name for name in self.model_fields_set - {"switch"} if name not in self._known()]
        if foreign:
            known = ", ".join(self._known()) or "nothing"
            raise ValueError(f"{min(foreign)}: given for the switch {self.switch}; allowed: {known}")
        return self

    def variables(self) -> dict[str, Any]:
        """Return the switch, and its name beside it: a plan needs no more, and no password for that."""
        return {"testbed_power": self.model_dump(exclude_none=True), "testbed_power_switch": self.switch}

    def _known(self) -> tuple[str, ...]:
        controller = ("address", "password", "port", "user")
        ipmi = ("address", "cipher_suite", *controller[1:])
        return {"sysrq": (), "ipmi": ipmi, "redfish": (*controller, "ca", "system")}[self.switch]


class ExistingHost(_Strict):
    """A host that exists."""

    address: Address | None = None
    host_key: Fingerprint | None = None
    ssh: Ssh | None = None
    power: Power | None = None

    def own_variables(self) -> dict[str, Any]:
        """Return the variables of this host alone."""
        return {
            **(self.ssh.variables() if self.ssh else {}),
            **({"testbed_host_key": self.host_key} if self.host_key else {}),
            **(self.power.variables() if self.power else {}),
        }


class Observer(ExistingHost):
    """An observer that exists."""

    address: Address


class BareMetal(_Strict):
    """What all hosts of the provider share."""

    ssh: Ssh = Ssh()
    known_hosts: Annotated[str, Field(min_length=1)] = "known_hosts"
    observers: list[Observer] = []


def check(cluster: Any) -> None:
    """Raise Mistakes for what of a `Cluster` does not fit its provider, one line for each."""
    metal = cluster.provider == "baremetal"
    problems = list(_of_hosts(cluster) if metal else _of_others(cluster))
    if problems:
        raise Mistakes(problems)


def _of_others(cluster: Any) -> Iterator[str]:
    if cluster.subnet is None:
        yield "subnet: is required but missing"
    if cluster.baremetal is not None:
        yield f"baremetal: given for provider {cluster.provider}; allowed: with provider baremetal"
    for i, node in enumerate(cluster.nodes):
        for key in OWN_KEYS:
            if getattr(node, key) is not None:
                yield (
                    f"nodes[{i}].{key}: given for provider {cluster.provider}; "
                    "allowed: with provider baremetal"
                )


def _of_hosts(cluster: Any) -> Iterator[str]:
    if cluster.node_count != len(cluster.nodes):
        yield (
            f"nodes: given {len(cluster.nodes)} nodes; allowed: node_count ({cluster.node_count}), as every "
            "host that exists is named with its address"
        )
    observers = cluster.baremetal.observers if cluster.baremetal else []
    if len(observers) != cluster.observer_count:
        yield (
            f"baremetal.observers: given {len(observers)} observers; allowed: observer_count "
            f"({cluster.observer_count}), each with its address"
        )
    for i, node in enumerate(cluster.nodes):
        if node.address is None:
            yield f"nodes[{i}].address: is required but missing"
        if any(value is not None for value in node.resource_limits.model_dump().values()):
            yield f"nodes[{i}].resource_limits: given; allowed: {NOTHING_LIMITED}"
    for key in ("resource_limits", "observer_resource_limits"):
        if any(value is not None for value in getattr(cluster, key).model_dump().values()):
            yield f"{key}: given; allowed: {NOTHING_LIMITED}"
    yield from _of_addresses(addresses(cluster), cluster.subnet)


def addresses(cluster: Any) -> dict[str, str]:
    """Return the address that each key of the description gives."""
    nodes = {f"nodes[{i}].address": node.address for i, node in enumerate(cluster.nodes) if node.address}
    observers = cluster.baremetal.observers if cluster.baremetal else []
    return {**nodes, **{f"baremetal.observers[{i}].address": one.address for i, one in enumerate(observers)}}


def _of_addresses(given: Mapping[str, str], subnet: netaddr.IPNetwork | None) -> Iterator[str]:
    first: dict[str, str] = {}
    for key, address in given.items():
        if address in first:
            yield f"{key}: given {address}, which is {first[address]} already; allowed: every address once"
        first.setdefault(address, key)
        if subnet is not None and address not in subnet:
            yield f"{key}: given {address}; allowed: an address in the subnet {subnet}"


def group_variables(metal: BareMetal, folder: Path) -> dict[str, Any]:
    """Variables of the provider's group: the inventory's own group_vars and host_vars go before them."""
    known_hosts = folder / Path(metal.known_hosts).expanduser()
    # a host that has lost its power closes no connection: ssh has to ask whether it is there
    options = (
        f"-o UserKnownHostsFile={known_hosts} -o StrictHostKeyChecking=yes "
        "-o ServerAliveInterval=5 -o ServerAliveCountMax=3"
    )
    return {
        **metal.ssh.variables(),
        "ansible_python_interpreter": "/usr/bin/python3",
        "testbed_known_hosts": str(known_hosts),
        # beside ansible_ssh_common_args, in which the inventory may name a jump host
        "ansible_ssh_extra_args": options,
        "ansible_sftp_extra_args": options,
        "ansible_scp_extra_args": options,
    }
