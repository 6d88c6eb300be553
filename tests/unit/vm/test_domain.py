# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What libvirt is told of a machine is what the description of the cluster says."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.lab.domain import (
    Domain,
    domain_name,
    mac_address,
)
from hypothesis import given
from hypothesis import strategies as st


def described(**changes):
    asked = {
        "name": "tb-vm-n1", "memory_bytes": 384 * 2**20, "cpus": 1.0, "disk": "/lab/disk.qcow2",
        "kernel": "/images/vmlinuz", "initrd": "/lab/initrd.cpio", "bridge": "tb-vm",
        "console": "/lab/console.log", "kvm": False,
    }  # fmt: skip
    return ET.fromstring(Domain(**{**asked, **changes}).xml())


def test_size_files_and_bridge_are_the_nodes():
    top = described(cpus=1.5)
    memory = top.find("memory")
    assert (memory.get("unit"), memory.text) == ("KiB", str(384 * 1024))
    assert top.findtext("vcpu") == "2", "a part of a processor counts as a whole one"
    assert top.find("devices/disk/source").get("file") == "/lab/disk.qcow2"
    assert top.find("devices/interface/source").get("bridge") == "tb-vm"
    assert top.find("devices/serial/source").attrib == {"path": "/lab/console.log", "append": "on"}
    assert (top.findtext("os/kernel"), top.findtext("os/initrd")) == ("/images/vmlinuz", "/lab/initrd.cpio")


@pytest.mark.parametrize(
    ("kvm", "kind", "cpu"), [(True, "kvm", "host-passthrough"), (False, "qemu", "maximum")]
)
def test_only_without_kvm_is_it_emulated(kvm, kind, cpu):
    top = described(kvm=kvm)
    assert (top.get("type"), top.find("cpu").get("mode")) == (kind, cpu)
    assert (top.find("features/tcg") is None) == kvm
    assert ("tsc=reliable" in top.findtext("os/cmdline")) != kvm


@given(st.text(st.characters(codec="utf-8", exclude_categories=("C",)), min_size=1))
def test_no_name_breaks_out_of_the_description(name):
    """Whatever a path or a name holds is text, and comes back as it was."""
    top = described(disk=name)
    assert top.find("devices/disk/source").get("file") == name
    assert len(top.find("devices")) == 5


@given(st.text(min_size=1))
def test_addresses_are_qemus_own_and_stay(name):
    assert re.fullmatch(r"52:54:00(:[0-9a-f]{2}){3}", mac_address(name))
    assert mac_address(name) == mac_address(name)


ids = st.from_regex(r"[a-z][a-z0-9-]{0,10}", fullmatch=True)
names = st.from_regex(r"[a-z]([a-z0-9-]{0,9}[a-z0-9])?", fullmatch=True)


@given(ids, ids, names)
def test_no_lab_takes_machines_of_another_for_its_own(one, other, node):
    """Of machines with its prefix a lab removes what it does not want: those of `vm-x` were `vm`'s too."""
    assert domain_name(other, node).startswith(domain_name(one, "")) == (one == other)


def test_an_id_that_begins_as_another_is_another_lab():
    assert not domain_name("vm-x", "n1").startswith(domain_name("vm", ""))
