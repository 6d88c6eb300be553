# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Power of virtual machines, with a stand-in for virsh that keeps a state."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switch_vm import has_power
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switches import switch_of

LAB = LabPaths(Path("/nowhere"), "t")
VM = {"uri": "qemu:///system", "domain": "tb-t-n1"}
SAID = {"provider": "vm", "vm": VM, "host": {"address": "192.0.2.11", "options": []}}
VIRSH = """#!/bin/sh
echo "$*" >> "$0.calls"
case $4 in
  domstate) cat "$0.state" ;;
  destroy) echo "shut off" > "$0.state" ;;
  start) echo running > "$0.state" ;;
  *) exit 1 ;;
esac
"""


@pytest.fixture
def virsh(tmp_path, monkeypatch):
    """A stand-in that writes down how it was called and keeps a state."""
    tool = tmp_path / "virsh"
    tool.write_text(VIRSH)
    tool.chmod(0o755)
    (tmp_path / "virsh.state").write_text("running\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path / "virsh.calls"


def test_a_machine_is_cut_and_switched_on_once(virsh):
    switch = switch_of(LAB, "n1", SAID)
    for act in (switch.cut, switch.cut, lambda: switch.on({}), lambda: switch.on({})):
        act()
    assert switch.running()
    calls = [line.split() for line in virsh.read_text().splitlines()]
    assert {tuple(words[:3]) for words in calls} == {("--quiet", "--connect", "qemu:///system")}
    acts = [words[3] for words in calls if words[3] != "domstate"]
    assert acts == ["destroy", "start"] and {words[4] for words in calls} == {"tb-t-n1"}


@pytest.mark.parametrize(
    ("state", "power"),
    [("running", True), ("paused", True), ("in shutdown", True), ("shut off\n\n", False), ("crashed", False)],
)
def test_a_state_is_power_or_none(state, power):
    assert has_power(state) is power
    with pytest.raises(LabError):
        has_power("\n")


@pytest.mark.parametrize("vm", [{}, {"uri": "", "domain": "x"}, {"uri": "x"}])
def test_a_machine_that_nobody_names_is_refused(vm):
    with pytest.raises(LabError, match="names no hypervisor and domain of n1"):
        switch_of(LAB, "n1", {**SAID, "vm": vm})


def test_another_provider_is_refused():
    with pytest.raises(LabError, match="given the provider 'cloud'; allowed: container, vm, baremetal"):
        switch_of(LAB, "n1", {**SAID, "provider": "cloud"})
