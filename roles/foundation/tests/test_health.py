# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Health of foundation: every service runs unprivileged, and what one node registers all nodes see."""

from __future__ import annotations

import uuid

import pytest
from service_health import Service

testinfra_hosts = ["ansible://foundation"]


@pytest.fixture
def service(host):
    """The node's own service."""
    return Service(host, "foundation", 4100)


def test_the_service_runs_unprivileged_and_will_be_restarted(service):
    """systemd runs it, would restart it, and not as root."""
    service.check_unit()


def test_the_node_reaches_a_majority(service):
    """The mode is normal, and no bug is planted unless the inventory says so."""
    status, said = service.ask("GET", "/v1/status")
    assert (status, said["mode"]) == (200, "normal")


def test_a_name_has_one_owner_and_every_view_shows_it(service):
    """A registration is answered, refused to a second owner, and comes to the node's own view."""
    name = f"verify:{uuid.uuid4()}"
    path = f"/v1/registry/names/{name}"
    try:
        assert service.ask("PUT", path, {"owner": "verify"})[0] == 201
        assert service.ask("PUT", path, {"owner": "other"})[0] == 409
        assert service.ask("GET", path)[1]["owner"] == "verify"
        local = service.ask_until(f"{path}?consistency=local", lambda answer: answer[0] == 200)
        assert local[1]["owner"] == "verify"
    finally:
        service.ask("DELETE", path)
    assert service.ask("GET", path)[0] == 404


def test_an_event_comes_to_a_subscriber_once(service):
    """A subscription is made, an event published twice with one id, and read once."""
    topic = f"verify.{uuid.uuid4()}"
    path = f"/v1/events/subscriptions/{topic}"
    try:
        assert service.ask("PUT", path, {"subscriber": "verify", "pattern": f"{topic}.#"})[0] == 201
        event = {"topic": topic, "payload": {"a": 1}, "id": topic}
        assert [service.ask("POST", "/v1/events", event)[0] for _ in range(2)] == [201, 200]
        told = service.ask("GET", f"{path}/events?wait_s=3")[1]["events"]
        assert [one["payload"] for one in told] == [{"a": 1}]
    finally:
        service.ask("DELETE", path)
