# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Health of foundation: every service runs unprivileged, and what one node registers all nodes see."""

from __future__ import annotations

import json
import time
import uuid

testinfra_hosts = ["ansible://foundation"]

NODES_SEE_IT_S = 10


def ask(host, method, path, body=None):
    """Status and answer of a request to the node's own service."""
    script = (
        "import json, sys, urllib.request as u, urllib.error as e\n"
        "method, path, body = sys.argv[1:]\n"
        "r = u.Request('http://127.0.0.1:4100' + path, body.encode() or None, "
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
        "systemctl show foundation.service --property=ActiveState,Restart,UnitFileState,DynamicUser"
    )
    said = {"ActiveState=active", "Restart=always", "UnitFileState=enabled", "DynamicUser=yes"}
    assert set(answer.split()) == said
    pid = host.check_output("systemctl show foundation.service --property=MainPID --value")
    assert int(host.check_output(f"stat -c %u /proc/{pid}")) != 0


def test_the_node_reaches_a_majority(host):
    """The mode is normal, and no bug is planted unless the inventory says so."""
    status, said = ask(host, "GET", "/v1/status")
    assert (status, said["mode"]) == (200, "normal")


def test_a_name_has_one_owner_and_every_view_shows_it(host):
    """A registration is answered, refused to a second owner, and comes to the node's own view."""
    name = f"verify:{uuid.uuid4()}"
    path = f"/v1/registry/names/{name}"
    try:
        assert ask(host, "PUT", path, {"owner": "verify"})[0] == 201
        assert ask(host, "PUT", path, {"owner": "other"})[0] == 409
        assert ask(host, "GET", path)[1]["owner"] == "verify"
        end = time.monotonic() + NODES_SEE_IT_S
        while (local := ask(host, "GET", f"{path}?consistency=local"))[0] != 200 and time.monotonic() < end:
            time.sleep(0.2)
        assert local[1]["owner"] == "verify"
    finally:
        ask(host, "DELETE", path)
    assert ask(host, "GET", path)[0] == 404


def test_an_event_comes_to_a_subscriber_once(host):
    """A subscription is made, an event published twice with one id, and read once."""
    topic = f"verify.{uuid.uuid4()}"
    path = f"/v1/events/subscriptions/{topic}"
    try:
        assert ask(host, "PUT", path, {"subscriber": "verify", "pattern": f"{topic}.#"})[0] == 201
        event = {"topic": topic, "payload": {"a": 1}, "id": topic}
        assert [ask(host, "POST", "/v1/events", event)[0] for _ in range(2)] == [201, 200]
        told = ask(host, "GET", f"{path}/events?wait_s=3")[1]["events"]
        assert [one["payload"] for one in told] == [{"a": 1}]
    finally:
        ask(host, "DELETE", path)
