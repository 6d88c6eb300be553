# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Each promise of foundation and mabeam holds under a fault, and its checker finds the bug that breaks it."""

from __future__ import annotations

import pytest
import yaml
from services_lab import Services
from support import HERE, record

pytestmark = pytest.mark.lab

PROMISES = {
    "registry_partition": ("registry_local_reads", "linearizable-registry"),
    "events_partition": ("events_dropped_at_reconnect", "event-delivery"),
    "consensus_cut_off": ("two_coordinators", "agreement-consensus"),
    "auctions_cut_off": ("payment_retried_without_key", "money-conserved"),
}


@pytest.mark.parametrize("scenario", PROMISES)
def test_the_promise_is_kept(services, scenario):
    outcome = services.run(scenario)
    results = record(services.newest(), "results.json")
    assert (outcome.status, results["verdict"]) == (0, "pass"), results["reasons"]
    assert PROMISES[scenario][1] in {check["name"] for check in results["checks"]}


@pytest.mark.parametrize("scenario", PROMISES)
def test_the_planted_bug_is_found_by_its_checker_and_gone_after_the_run(services, tmp_path, scenario):
    bug, checker = PROMISES[scenario]
    right = yaml.safe_load((HERE / "scenarios" / f"{scenario}.yml").read_text())
    right.setdefault("options", {})["faulty"] = bug
    planted = tmp_path / f"{bug}.yml"
    planted.write_text(yaml.safe_dump(right))
    outcome = services.playbook("run", "-e", f"scenario={planted}")
    results = record(services.newest(), "results.json")
    assert (outcome.status, results["verdict"]) == (10, "fail"), results["reasons"]
    assert [check["name"] for check in results["checks"] if check["verdict"] == "fail"] == [checker]
    service = "mabeam" if right["system"] == "mabeam" else "foundation"
    assert Services(services, "n1").ask("GET", "/v1/status", service=service).body["faulty"] == []
