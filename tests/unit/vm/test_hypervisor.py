# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a description may say of a hypervisor elsewhere, and which way leads through it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from ansible_collections.foundation.testbed.plugins.plugin_utils.cluster import parse_cluster
from ansible_collections.foundation.testbed.plugins.plugin_utils.cluster_hosts import expand, provider_vars
from ansible_collections.foundation.testbed.plugins.plugin_utils.cluster_hypervisor import Hypervisor
from ansible_collections.foundation.testbed.plugins.plugin_utils.cluster_vm import hypervisors
from ansible_collections.foundation.testbed.plugins.plugin_utils.power_switches import switch_said
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import InputError
from hypothesis import given
from hypothesis import strategies as st

CLUSTER = {"testbed_id": "t", "provider": "vm", "node_count": 2, "subnet": "10.77.30.0/24"}
ELSEWHERE = {"address": "192.0.2.10"}


def parsed(hypervisor, vm=None, **changes):
    return parse_cluster(
        {**CLUSTER, "vm": {"hypervisor": {**ELSEWHERE, **hypervisor}, **(vm or {})}, **changes},
        "cluster.yml",
        set(),
    )


def test_it_is_a_host_of_its_own_that_ssh_checks():
    ssh = {"user": "admin", "port": 2222, "key": "/keys/id"}
    (host,) = hypervisors(parsed({"ssh": ssh}), Path("/inv"))
    assert (host["name"], host["groups"]) == ("hypervisor", ["testbed_hypervisors"])
    said = host["vars"]
    assert (said["ansible_host"], said["ansible_user"], said["ansible_port"]) == ("192.0.2.10", "admin", 2222)
    assert said["ansible_become"] is True
    assert said["testbed_known_hosts"] == "/inv/known_hosts"
    assert "StrictHostKeyChecking=yes" in shlex.split(said["ansible_ssh_extra_args"])
    (host,) = hypervisors(parsed({}), Path("/inv"))
    assert host["vars"]["ansible_user"] == "root"


def test_without_one_nothing_is_elsewhere():
    cluster = parse_cluster({**CLUSTER, "vm": {"bridge": "br0"}}, "cluster.yml", set())
    assert hypervisors(cluster, Path("/inv")) == []
    assert not [name for name in provider_vars(cluster, Path("/inv")) if name.startswith("ansible")]


def test_machines_are_reached_through_it_unless_the_users_bridge_leads_there():
    through = provider_vars(parsed({}), Path("/inv"))
    assert "ProxyCommand=ssh -W %h:%p" in through["ansible_ssh_extra_args"]
    assert through["testbed_hypervisor_host"] == "hypervisor"
    direct = provider_vars(parsed({"reach": "direct"}, {"bridge": "br0"}), Path("/inv"))
    assert "ansible_ssh_extra_args" not in direct
    assert direct["ansible_control_path"] == through["ansible_control_path"] == "%(directory)s/192.0.2.10-%%C"


def test_its_own_power_program_goes_straight_to_machines_beside_it():
    cluster = parsed({})
    (node, *_) = [host["vars"] for host in expand(cluster, {}) if host["name"] == "n1"]
    group = provider_vars(cluster, Path("/inv"))
    said = switch_said({**group, **node, "testbed_provider": "vm"})
    assert said["vm"] == {"uri": "qemu:///system", "domain": "tb-t.n1"}
    assert not [word for word in said["host"]["options"] if "Proxy" in word]
    assert "StrictHostKeyChecking=yes" in said["host"]["options"]


@pytest.mark.parametrize(
    ("hypervisor", "changes", "told"),
    [
        ({"address": "hv.example"}, {}, "vm.hypervisor.address: given 'hv.example'; allowed: the IPv4"),
        ({"address": "127.0.0.1"}, {}, "vm.hypervisor.address: given '127.0.0.1'; allowed: the IPv4 address"),
        ({"address": "10.77.30.9"}, {}, "vm.hypervisor.address: given 10.77.30.9, which is in the subnet"),
        ({"host_key": "SHA256:short"}, {}, "vm.hypervisor.host_key: given 'SHA256:short'; allowed: a finger"),
        ({"reach": "tunnel"}, {}, "vm.hypervisor.reach: given 'tunnel'; allowed: "),
        ({"reach": "direct"}, {}, "vm.hypervisor.reach: given 'direct' without vm.bridge; allowed: 'jump'"),
        ({"ssh": {"port": 0}}, {}, "vm.hypervisor.ssh.port: given 0; allowed: "),
        ({"uri": "qemu+ssh://x"}, {}, "vm.hypervisor.uri: "),
        ({}, {"vm": {"image": "debian.qcow2"}}, "vm.image: given 'debian.qcow2'; allowed: with vm.hyper"),
        (
            {},
            {"nodes": [{"name": "hypervisor"}]},
            "nodes[0].name: given 'hypervisor'; allowed: a name that is not the hypervisor's",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_clear_line(hypervisor, changes, told):
    with pytest.raises(InputError) as refused:
        parsed(hypervisor, **changes)
    (line,) = str(refused.value).splitlines()
    assert line.startswith("cluster.yml") and told in line


def replaced(word):
    """What ssh makes of a text with %h and %p in it."""
    return re.sub("%(.)", lambda found: {"h": "HOST", "p": "PORT", "%": "%"}[found[1]], word)


names = st.text(st.characters(codec="utf-8", exclude_categories=("C",)), min_size=1).filter(
    lambda name: "/" not in name and not name.startswith("~") and name not in (".", "..")
)


@given(names, names)
def test_no_path_breaks_out_of_the_way_through(folder, key):
    """Ansible splits it, ssh replaces, a shell splits, ssh replaces again: then each path is as it was."""
    hypervisor = Hypervisor.model_validate({**ELSEWHERE, "ssh": {"key": f"/keys/{key}"}})
    option, command = shlex.split(hypervisor.jump(Path("/inv") / folder))
    assert option == "-o" and command.startswith("ProxyCommand=")
    words = shlex.split(replaced(command.removeprefix("ProxyCommand=")))
    assert words[:3] == ["ssh", "-W", "HOST:PORT"] and words[-1] == "192.0.2.10"
    assert words[words.index("-i") + 1] == f"/keys/{key}"
    (known,) = [word for word in words if word.startswith("UserKnownHostsFile=")]
    quoted = replaced(known.removeprefix("UserKnownHostsFile="))
    assert (quoted[0], quoted[-1]) == ('"', '"')
    assert re.sub(r"\\(.)", r"\1", quoted[1:-1]) == f"/inv/{folder}/known_hosts"
