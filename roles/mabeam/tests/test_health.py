# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Health of mabeam: every service runs unprivileged, and somebody coordinates."""

from __future__ import annotations

import json
import time
import uuid

testinfra_hosts = ["ansible://mabeam"]

DECIDED_S = 10


def ask(host, method, path, body=None):
    """Status and answer of a request to the node's own service."""
    script = (
        "import json, sys, urllib.request as u, urllib.error as e\n"
        "method, path, body = sys.argv[1:]\n"
        "r = u.Request('http://127.0.0.1:4200' + path, body.encode() or None, "
        "{'Content-Type': 'application/json'} if body else {}, method=method)\n"
        "try: a = u.urlopen(r, timeout=5)\n"
        "except e.HTTPError as error: a = error\n"
        "print(json.dumps([a.status, json.loads(a.read() or b'null')]))"
    )
    said = "" if body is None else json.dumps(body)
    return json.loads(host.check_output("python3 -c %s %s %s %s", script, method, path, said))


def test_the_service_runs_unprivileged_and_will_be_restarted(host):
    """systemd runs it, would restart it, and not as root."""
    answer = host.check_output(
        "systemctl show mabeam.service --property=ActiveState,Restart,UnitFileState,DynamicUser"
    )
    said = {"ActiveState=active", "Restart=always", "UnitFileState=enabled", "DynamicUser=yes"}
    assert set(answer.split()) == said
    pid = host.check_output("systemctl show mabeam.service --property=MainPID --value")
    assert int(host.check_output(f"stat -c %u /proc/{pid}")) != 0


def test_the_node_reaches_a_majority(host):
    """The mode is normal, and no bug is planted unless the inventory says so."""
    status, said = ask(host, "GET", "/v1/status")
    assert (status, said["mode"]) == (200, "normal")


def test_a_proposal_is_decided_and_every_node_shows_it(host):
    """One vote of one member is a quorum: somebody coordinates, and completes it once."""
    name = f"verify:{uuid.uuid4()}"
    path = f"/v1/coordination/consensus/{name}"
    assert ask(host, "POST", "/v1/coordination/consensus", {"id": name, "members": ["verify"]})[0] == 201
    assert ask(host, "POST", f"{path}/votes", {"agent": "verify", "vote": "approve"})[0] == 200
    end = time.monotonic() + DECIDED_S
    while (said := ask(host, "GET", path)[1])["outcome"] is None and time.monotonic() < end:
        time.sleep(0.2)
    assert (said["outcome"]["decision"], said["completions"]) == ("approved", 1)
