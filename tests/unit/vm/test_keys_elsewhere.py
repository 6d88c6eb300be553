# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the controller keeps of machines that another machine has, and whose machines those are."""

from __future__ import annotations

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError
from ansible_collections.foundation.testbed.plugins.module_utils.lab.keys_elsewhere import KeysElsewhere
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths
from ansible_collections.foundation.testbed.plugins.module_utils.lab.vm import VmLab

LINES = ["n1,10.0.0.11 ssh-ed25519 A", "n2,10.0.0.12 ssh-ed25519 B"]


def test_the_controller_has_a_key_and_knows_the_machines(tmp_path):
    paths = LabPaths(tmp_path, "t")
    keys = KeysElsewhere(paths, "192.0.2.10")
    assert keys.ensure(None, check_mode=True) == (True, "")
    assert not paths.home.exists(), "a look changes nothing"
    changed, public = keys.ensure(None, check_mode=False)
    assert changed and public.startswith("ssh-ed25519 ")
    assert keys.ensure(LINES, check_mode=False) == (True, public)
    assert keys.ensure(LINES, check_mode=False) == (False, public)
    assert (paths.ssh / "known_hosts").read_text().splitlines() == LINES
    assert (keys.remove(check_mode=False), keys.remove(check_mode=False)) == (True, False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("provider", ["vm", "container", "vm on 192.0.2.99"])
def test_nodes_of_the_same_name_elsewhere_are_left_alone(tmp_path, provider):
    paths = LabPaths(tmp_path, "t")
    paths.node("n1").home.mkdir(parents=True)
    (paths.home / "provider").write_text(f"{provider}\n")
    keys = KeysElsewhere(paths, "192.0.2.10")
    for act in (lambda: keys.ensure(None, check_mode=False), lambda: keys.remove(check_mode=False)):
        with pytest.raises(LabError, match=f"given vm on 192.0.2.10, but the lab t has .* {provider};"):
            act()
    assert paths.node("n1").home.exists()


def machines_made_for(paths, keys):
    paths.node("n1").home.mkdir(parents=True)
    paths.ssh.mkdir()
    if keys:
        (paths.ssh / "authorized_keys").write_text("".join(f"{key}\n" for key in keys))


@pytest.mark.parametrize("made_for", [[], ["ssh-ed25519 A t@first"]])
def test_machines_of_another_controller_are_refused(tmp_path, made_for):
    paths = LabPaths(tmp_path, "t")
    VmLab(paths, authorized_keys=["ssh-ed25519 B t@second"]).require_controller()
    machines_made_for(paths, made_for)
    VmLab(paths, authorized_keys=made_for).require_controller()
    whose = "t@first" if made_for else "this machine itself"
    with pytest.raises(LabError, match=f"testbed_id: given t, but .* made for {whose}, with another key"):
        VmLab(paths, authorized_keys=["ssh-ed25519 B t@second"]).require_controller()
