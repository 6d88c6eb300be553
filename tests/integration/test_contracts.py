# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""S6: every contract is kept by the running services of every node."""

from __future__ import annotations

import pytest
from services_lab import NODES
from support import record

pytestmark = pytest.mark.lab


def test_the_services_of_every_node_keep_their_contracts(services):
    outcome = services.playbook("contracts")
    assert outcome.status == 0, outcome.output[-4000:]
    for node in NODES:
        contracts = record(services.runs_dir, f"contracts-{node}.json")["contracts"]
        assert sorted(contracts) == ["coordination", "economics", "events", "process_registry"]
        assert all(len(found) > 50 for found in contracts.values())
        assert not any(clause["mismatches"] for found in contracts.values() for clause in found)


def test_a_contract_that_there_is_not_is_refused(services):
    outcome = services.playbook("contracts", "-e", "contract=none")
    assert outcome.status == 12, outcome.output[-4000:]


def test_a_cluster_that_is_not_healthy_is_refused(services):
    services.on("n4", "systemctl stop mabeam.service")
    try:
        outcome = services.playbook("contracts")
        assert outcome.status == 13, outcome.output[-4000:]
    finally:
        services.on("n4", "systemctl start mabeam.service")
