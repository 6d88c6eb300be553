# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""No fault takes away the session by which the controller reaches the node."""

from __future__ import annotations

import ipaddress
import json

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.foundation.testbed.plugins.module_utils.agent import ansible_module
from ansible_collections.foundation.testbed.plugins.module_utils.agent.management import (
    controller_address,
    cuts_management,
    ssh_connection,
)
from ansible_collections.foundation.testbed.plugins.modules import fault
from hypothesis import given
from hypothesis import strategies as st

SESSION = "10.77.0.1 50022 10.77.0.11 22"


@pytest.mark.parametrize(
    ("said", "address"),
    [
        (SESSION, "10.77.0.1"),
        ("::ffff:10.77.0.1 50022 ::ffff:10.77.0.11 22", "10.77.0.1"),
        ("fd00::1 50022 fd00::2 22", "fd00::1"),
        ("", None),
        ("UNKNOWN 65535 UNKNOWN 65535", None),
    ],
)
def test_the_controller_is_the_other_end_of_the_session(said, address):
    assert controller_address(said) == address


@given(st.ip_addresses() | st.text())
def test_whatever_the_session_says_is_an_address_or_nothing(said):
    found = controller_address(f"{said} 1 10.0.0.1 22")
    assert found is None or ipaddress.ip_address(found)


@pytest.mark.parametrize("key", ["blocked", "affected"])
def test_a_fault_that_names_the_controller_is_refused_in_one_line(key):
    (line,) = cuts_management({key: {"n2": "10.77.0.12", "o1": "10.77.0.1"}}, SESSION)
    assert line == (
        "peers: given 'o1', the management address: the controller's session comes from 10.77.0.1; "
        "allowed: any other"
    )


@pytest.mark.parametrize(
    "program", [{}, {"blocked": {}}, {"blocked": {"n2": "10.77.0.12"}}, {"affected": None}]
)
def test_other_faults_are_left_alone(program):
    assert list(cuts_management(program, SESSION)) == []
    assert list(cuts_management({"blocked": {"n2": "10.77.0.12"}}, "")) == []


def process(proc, pid, parent, *environment):
    folder = proc / str(pid)
    folder.mkdir()
    (folder / "environ").write_bytes(b"\0".join(environment) + b"\0")
    (folder / "stat").write_text(f"{pid} (a) b) S {parent} 1 1 0 -1")


def test_the_session_is_found_behind_sudo(tmp_path):
    process(tmp_path, 9, 8, b"HOME=/root")
    process(tmp_path, 8, 7, b"HOME=/root", b"SUDO_USER=me")
    process(tmp_path, 7, 1, b"HOME=/home/me", b"SSH_CONNECTION=" + SESSION.encode())
    assert ssh_connection(tmp_path, 9) == ssh_connection(tmp_path, 7) == SESSION
    (tmp_path / "7" / "environ").write_bytes(b"")
    assert ssh_connection(tmp_path, 9) == ""
    assert ssh_connection(tmp_path, 5) == ""


def test_the_module_that_begins_a_fault_asks(monkeypatch, capsys):
    monkeypatch.setattr(ansible_module, "require", lambda testbed_id: None)
    monkeypatch.setattr(fault, "active_run", lambda name: None)
    monkeypatch.setattr(fault, "ssh_connection", lambda: SESSION)
    program = {"blocked": {"x": "10.77.0.1"}}
    said = {"testbed_id": "t", "type": "partition", "id": "cut", "for_s": 5, "program": program}
    with patch_module_args(said), pytest.raises(SystemExit):
        fault.main()
    assert json.loads(capsys.readouterr().out)["msg"].startswith(
        "partition: peers: given 'x', the management"
    )
    with patch_module_args({**said, "id": "../../x y"}), pytest.raises(SystemExit):
        fault.main()
    assert json.loads(capsys.readouterr().out)["msg"].startswith("id: given '../../x y'; allowed: ")
