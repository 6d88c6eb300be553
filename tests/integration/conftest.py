# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import os
from pathlib import Path

import pytest
from support import HERE, Lab, nothing_new, traces_on_machine, wait_until

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
def untouched(tmp_path_factory):
    """How this machine was before any lab; nothing of it may have changed at the end."""
    Lab(HERE / "inventory", tmp_path_factory.mktemp("runs")).playbook("destroy")
    return traces_on_machine()


@pytest.fixture(scope="session")
def lab(request, tmp_path_factory):
    """Three nodes with etcd and an observer, made once and removed at the end."""
    if standing := request.config.getoption("inventory"):
        yield Lab(standing.resolve(), tmp_path_factory.mktemp("runs"))
        return
    untouched = request.getfixturevalue("untouched")
    lab = Lab(HERE / "inventory", tmp_path_factory.mktemp("runs"))
    for playbook in ("provision", "deploy", "verify"):
        outcome = lab.playbook(playbook)
        assert outcome.status == 0, outcome.output[-4000:]
    yield lab
    outcome = lab.playbook("destroy")
    assert outcome.status == 0, outcome.output[-4000:]
    # init takes a moment to reap what was killed
    wait_until(lambda: nothing_new(untouched), 15, "the machine as it was before")


@pytest.fixture
def whole(lab):
    """The lab, whole before the test and proved whole after it."""
    yield lab
    assert {node: lab.tables(node) for node in NODES} == {node: [] for node in NODES}
