# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Ansible's variables say of a node's power switch, and of the way to its shell."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleError
from ansible_collections.foundation.testbed.plugins.action.power_program import switches_of
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switches import SWITCHES, switch_of
from ansible_collections.foundation.testbed.plugins.plugin_utils.power_switches import (
    host_said,
    switch_name,
    switch_said,
    unknown,
)
from hypothesis import given
from hypothesis import strategies as st

REDFISH = {"switch": "redfish", "address": "192.0.2.111", "user": "u", "password": "secret", "ca": "ca.pem"}
HOST = {
    "testbed_provider": "baremetal",
    "testbed_address": "192.0.2.11",
    "testbed_power": REDFISH,
    "testbed_power_switch": "redfish",
    "inventory_dir": "/inventories/lab",
    "ansible_user": "admin",
    "ansible_port": 2222,
    "ansible_become": True,
    "ansible_ssh_private_key_file": "/keys/id",
    "ansible_ssh_common_args": "-J gate",
    "ansible_ssh_extra_args": "-o UserKnownHostsFile=/inv/known_hosts",
}


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({"testbed_provider": "container"}, "container"),
        ({"testbed_provider": "vm"}, "vm"),
        (HOST, "redfish"),
        ({"testbed_provider": "baremetal", "testbed_power_switch": "sysrq"}, "sysrq"),
        ({"testbed_provider": "baremetal"}, "none"),
        ({}, "none"),
    ],
)
def test_a_switch_has_a_name_for_the_plan(variables, name):
    assert switch_name(variables) == name


def test_a_host_is_reached_as_ansible_reaches_it():
    assert host_said(HOST) == {
        "address": "192.0.2.11",
        "port": 2222,
        "user": "admin",
        "key": "/keys/id",
        "become": True,
        "options": ["-J", "gate", "-o", "UserKnownHostsFile=/inv/known_hosts"],
    }
    assert host_said({**HOST, "ansible_host": "198.51.100.1"})["address"] == "198.51.100.1"
    assert not switch_of(LabPaths(Path("/nowhere"), "t"), "n1", switch_said(HOST)).shell.straight


def test_an_authority_is_a_file_beside_the_inventory():
    assert switch_said(HOST)["power"]["ca"] == "/inventories/lab/ca.pem"


def test_a_password_is_handed_over_by_itself():
    (handed,) = switches_of([{"node": "n1"}, {"node": "gone"}], {"n1": HOST})
    assert handed["password"] == "secret" and "secret" not in str(handed["said"])


@given(st.sampled_from(sorted(SWITCHES)), st.booleans())
def test_every_provider_that_has_a_switch_is_said(provider, powered):
    said = switch_said({**HOST, "testbed_provider": provider, **({} if powered else {"testbed_power": {}})})
    assert said["provider"] == provider
    assert ("power" in said) is (provider == "baremetal")


def test_a_password_that_nobody_has_defined_is_told_in_one_line_and_needed_for_power_alone():
    class Undefined(dict):
        def get(self, key, default=None):
            if key == "testbed_power":
                raise AnsibleError("'vault_bmc_password' is undefined\n")
            return super().get(key, default)

    (problem,) = unknown(["n1", "n2"], {"n1": Undefined(HOST), "n2": HOST})
    assert problem.startswith(
        "power: n1: given what cannot be read: 'vault_bmc_password' is undefined; allowed"
    )
    assert switch_name(Undefined(HOST)) == "redfish"
