# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Health of mabeam: every service runs unprivileged, and somebody coordinates."""

from __future__ import annotations

import uuid

import pytest
from service_health import Service

testinfra_hosts = ["ansible://mabeam"]


@pytest.fixture
def service(host):
    """The node's own service."""
    return Service(host, "mabeam", 4200)


def test_the_service_runs_unprivileged_and_will_be_restarted(service):
    """systemd runs it, would restart it, and not as root."""
    service.check_unit()


def test_the_node_reaches_a_majority(service):
    """The mode is normal, and no bug is planted unless the inventory says so."""
    status, said = service.ask("GET", "/v1/status")
    assert (status, said["mode"]) == (200, "normal")


def test_a_proposal_is_decided_and_every_node_shows_it(service):
    """One vote of one member is a quorum: somebody coordinates, and completes it once."""
    name = f"verify:{uuid.uuid4()}"
    proposals = "/v1/coordination/consensus"
    path = f"{proposals}/{name}"
    assert service.ask("POST", proposals, {"id": name, "members": ["verify"]})[0] == 201
    assert service.ask("POST", f"{path}/votes", {"agent": "verify", "vote": "approve"})[0] == 200
    _status, said = service.ask_until(path, lambda answer: answer[1]["outcome"] is not None)
    assert (said["outcome"]["decision"], said["completions"]) == ("approved", 1)
