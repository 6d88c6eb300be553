# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Power of machines: Redfish against a small service over TLS, IPMI with a stand-in for ipmitool."""

from __future__ import annotations

import base64
import http.server
import json
import ssl
import subprocess
import threading
from pathlib import Path

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.lab import bmc, switch_baremetal, switch_host
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switches import (
    FILE,
    staged_switch,
    switch_of,
    with_password,
    without_password,
    write_switches,
)
from hypothesis import given
from hypothesis import strategies as st

LAB = LabPaths(Path("/nowhere"), "t")
HOST = {
    "address": "192.0.2.11",
    "port": 2222,
    "options": ["-o", "UserKnownHostsFile=/inv/known_hosts"],
    "user": "admin",
    "become": True,
}
ACTION = {
    "target": "/redfish/v1/Systems/1/Actions/Reset",
    "ResetType@Redfish.AllowableValues": ["On", "ForceOff"],
}


class Service(http.server.BaseHTTPRequestHandler):
    """One system whose power can be cut and switched on."""

    power, kinds = "On", ("On", "ForceOff")

    def do_GET(self):
        if self.headers["Authorization"] != "Basic " + base64.b64encode(b"u:secret").decode():
            self.send_error(401)
            return
        reset = {**ACTION, "ResetType@Redfish.AllowableValues": list(type(self).kinds)}
        said = {
            "/redfish/v1/Systems": {"Members": [{"@odata.id": "/redfish/v1/Systems/1"}]},
            "/redfish/v1/Systems/1": {
                "PowerState": type(self).power,
                "Actions": {"#ComputerSystem.Reset": reset},
            },
        }
        self._answer(said[self.path])

    def do_POST(self):
        kind = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["ResetType"]
        type(self).power = {"On": "On", "ForceOff": "Off"}[kind]
        self._answer({})

    def _answer(self, said):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(said).encode())

    def log_message(self, *_arguments):
        pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=bmc"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{folder}/key", "-out", f"{folder}/cert"),
        ],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture
def service(certificate):
    """What the inventory says of a management controller that listens here."""
    server = http.server.HTTPServer(("127.0.0.1", 0), type("OneService", (Service,), {}))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert", certificate / "key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    said = {"switch": "redfish", "address": "127.0.0.1", "port": server.server_port, "user": "u"}
    yield server, {**said, "password": "secret", "ca": str(certificate / "cert")}
    server.shutdown()
    thread.join()
    server.server_close()


def test_redfish_cuts_the_power_and_switches_it_on(service):
    _server, said = service
    switch = switch_of(LAB, "n1", {"provider": "baremetal", "power": said, "host": HOST})
    assert switch.running()
    switch.cut()
    assert not switch.running()
    switch.on({})
    switch.on({})
    assert switch.running()


def test_a_certificate_that_nobody_vouches_for_gets_no_password(service):
    _server, said = service
    with pytest.raises(LabError, match="certificate verify failed"):
        bmc.Redfish({**said, "ca": None}).running()


def test_wrong_credentials_and_a_missing_action_are_told_without_the_password(service):
    server, said = service
    with pytest.raises(LabError, match="401") as error:
        bmc.Redfish({**said, "password": "hunter2"}).running()
    assert "hunter2" not in str(error.value)
    server.RequestHandlerClass.kinds = ("GracefulShutdown",)
    with pytest.raises(LabError, match="cannot do ForceOff; it offers GracefulShutdown"):
        bmc.Redfish(said).off()


@given(st.lists(st.sampled_from(["1", "2", "blade"]), unique=True), st.sampled_from([None, "1", "x"]))
def test_a_system_is_chosen_only_where_it_is_the_one_that_is_meant(names, wanted):
    """A controller may serve several machines: the wrong one must never lose its power."""
    members = [f"/redfish/v1/Systems/{name}" for name in names]
    if wanted in names or (wanted is None and len(names) == 1):
        assert bmc.chosen_system(members, wanted, "bmc") == f"/redfish/v1/Systems/{wanted or names[0]}"
    else:
        with pytest.raises(LabError, match=r"power\.system"):
            bmc.chosen_system(members, wanted, "bmc")


@pytest.fixture
def ipmitool(tmp_path, monkeypatch):
    """A stand-in that writes down how it was called and keeps a state."""
    tool = tmp_path / "ipmitool"
    tool.write_text(
        '#!/bin/sh\nprintf "%s|%s\\n" "$*" "$IPMI_PASSWORD" >> "$0.calls"\n'
        'for last; do :; done\ncase $last in status) echo "Chassis Power is $(cat "$0.state")";;\n'
        '*) echo $last > "$0.state";; esac\n'
    )
    tool.chmod(0o755)
    (tmp_path / "ipmitool.state").write_text("on\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path / "ipmitool.calls"


def test_ipmi_never_shows_the_password_in_a_command_line(ipmitool):
    said = {"switch": "ipmi", "address": "192.0.2.111", "user": "u", "password": "secret"}
    switch = switch_of(LAB, "n1", {"provider": "baremetal", "power": said, "host": HOST})
    switch.cut()
    switch.on({})
    assert switch.running()
    calls = [line.split("|") for line in ipmitool.read_text().splitlines()]
    assert all(command.startswith("-I lanplus -H 192.0.2.111 -p 623 -U u -E chassis") for command, _ in calls)
    assert {password for _, password in calls} == {"secret"}
    assert "-C 17 -E" in " ".join(bmc.Ipmi({**said, "cipher_suite": 17}).command)


@given(st.text(max_size=40))
def test_a_status_is_on_or_off_or_an_error(text):
    try:
        assert bmc.parse_status(text) == text.strip().lower().endswith("on")
    except LabError:
        assert text.strip().lower() not in ("chassis power is on", "chassis power is off")


def test_the_shell_of_a_host_checks_its_key_and_becomes_root():
    command = switch_host.HostShell(HOST).command
    assert "StrictHostKeyChecking=yes" in command
    assert "UserKnownHostsFile=/inv/known_hosts" in command
    assert command[-4:] == ["192.0.2.11", "sudo", "-n", "sh"]


def sysrq(monkeypatch, answers):
    """A host that is told things, and answers by the first word that fits; returns it and what was said."""
    said: list[str] = []
    switch = switch_of(LAB, "n1", {"provider": "baremetal", "power": {"switch": "sysrq"}, "host": HOST})

    def run(script):
        said.append(script)
        return next((text() for word, text in answers.items() if word in script), "")

    monkeypatch.setattr(switch.shell, "run", run)
    monkeypatch.setattr(switch_host, "answers_ssh", lambda *_: True)
    return switch, said


def test_a_host_without_a_controller_is_reset_by_its_own_kernel_and_never_off(monkeypatch):
    boots = ["boot-1", "boot-1", "boot-1"]
    boot_id = {"boot_id": lambda: boots.pop() if boots else "boot-2", "test -w": lambda: "able"}
    switch, said = sysrq(monkeypatch, boot_id)
    assert switch.refuses("crash", False) == []
    assert "no management controller" in switch.refuses("off", False)[0]
    switch.cut()
    switch.panic()
    assert any("echo b > /proc/sysrq-trigger" in script for script in said)
    assert "echo c > /proc/sysrq-trigger" in said[-1]
    assert switch.running()


def test_a_host_whose_kernel_takes_no_orders_is_refused_and_never_called_reset(monkeypatch):
    switch, _said = sysrq(monkeypatch, {"boot_id": lambda: "boot-1", "test -w": lambda: "not"})
    for action in ("crash", "panic"):
        assert switch.refuses(action, False) == ["n1 lets nobody write to /proc/sysrq-trigger"]
    monkeypatch.setattr(switch_baremetal, "POWER_S", 0.1)
    with pytest.raises(LabError, match="did not reset itself"):
        switch.cut()


def test_a_redirection_to_elsewhere_gets_no_password(service):
    server, said = service
    elsewhere = []

    class Thief(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            elsewhere.append(self.headers["Authorization"])

    thief = http.server.HTTPServer(("127.0.0.1", 0), Thief)

    def redirect(handler):
        handler.send_response(302)
        handler.send_header("Location", f"http://127.0.0.1:{thief.server_port}/")
        handler.end_headers()

    server.RequestHandlerClass.do_GET = redirect
    with pytest.raises(LabError, match="302"):
        bmc.Redfish(said).running()
    thief.server_close()
    assert elsewhere == []


def test_an_authority_that_cannot_be_read_is_named(service):
    _server, said = service
    with pytest.raises(LabError, match=r"power.ca: given /no/such"):
        bmc.Redfish({**said, "ca": "/no/such"}).running()


def test_a_controller_that_does_not_answer_is_an_error_that_names_it():
    said = {"switch": "redfish", "address": "127.0.0.1", "port": 9, "user": "u", "password": "secret"}
    with pytest.raises(LabError, match=r"https://127.0.0.1:9/redfish/v1/Systems: .*refused") as error:
        bmc.Redfish(said).running()
    assert "secret" not in str(error.value)


def test_what_is_known_of_switches_is_for_its_owner_alone(tmp_path):
    power = {"switch": "ipmi", "address": "192.0.2.111", "user": "u", "password": "secret"}
    write_switches(tmp_path, {"n1": {"provider": "baremetal", "power": power, "host": HOST}})
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    assert staged_switch(LAB, tmp_path, "n1").controller.environment["IPMI_PASSWORD"] == "secret"
    with pytest.raises(LabError, match="names no switch of n2"):
        staged_switch(LAB, tmp_path, "n2")


@given(st.dictionaries(st.sampled_from(["switch", "user", "address"]), st.text()), st.text(min_size=1))
def test_a_password_goes_its_own_way_and_comes_back(power, password):
    said = {"provider": "baremetal", "power": {**power, "password": password}, "host": HOST}
    rest, taken = without_password(said)
    assert "password" not in rest["power"] and taken == password
    assert with_password(rest, taken) == said
    assert without_password({"provider": "container"}) == ({"provider": "container"}, None)


@pytest.mark.parametrize(
    ("options", "straight"),
    [
        ([], True),
        (["-o", "UserKnownHostsFile=/x"], True),
        (["-J", "gate"], False),
        (["-Jgate"], False),
        (["-o", "ProxyCommand=ssh gate"], False),
        (["-oproxyjump=gate"], False),
    ],
)
def test_a_host_behind_another_is_asked_over_ssh_alone(options, straight):
    """Its address answers nobody here: it would seem to be down."""
    assert switch_host.straight(options) is straight
