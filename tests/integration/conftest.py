# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import os
from pathlib import Path

import pytest
import services_lab
from services_lab import Services
from support import HERE, Lab, nothing_left_of, standing

NODES = ("n1", "n2", "n3")


@pytest.fixture(scope="session", autouse=True)
def _root():
    if os.geteuid() != 0:
        pytest.exit("the integration tests make real nodes on this machine and need root", returncode=1)


def pytest_addoption(parser):
    parser.addoption(
        "--inventory", type=Path, help="folder of a lab that stands: it is used as it is, and left standing"
    )


@pytest.fixture(scope="session")
def lab(request, tmp_path_factory):
    """Three nodes with etcd and an observer, made once and removed at the end."""
    runs = tmp_path_factory.mktemp("runs")
    if standing := request.config.getoption("inventory"):
        yield Lab(standing.resolve(), runs)
        return
    lab = Lab(HERE / "inventory", runs)
    with nothing_left_of(lab):
        for playbook in ("provision", "deploy", "verify"):
            outcome = lab.playbook(playbook)
            assert outcome.status == 0, outcome.output[-4000:]
        yield lab


@pytest.fixture(scope="session")
def services(tmp_path_factory):
    """Four nodes with foundation and mabeam and an observer, made once for all tests of services."""
    with standing(Lab(HERE / "inventory_services", tmp_path_factory.mktemp("services-runs"))) as lab:
        yield lab


@pytest.fixture
def nodes(services):
    """The services of every node; agents that a test started on one end with the test."""
    nodes = [Services(services, name) for name in services_lab.NODES]
    yield nodes
    for node in nodes:
        node.stop_agents()


@pytest.fixture
def whole(lab):
    """The lab, whole before the test and proved whole after it."""
    yield lab
    assert {node: lab.tables(node) for node in NODES} == {node: [] for node in NODES}
