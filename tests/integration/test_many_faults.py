# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A scenario of many faults: they overlap, begin on states of the system, and every one is proved."""

from __future__ import annotations

import re

import pytest
from support import record

pytestmark = pytest.mark.lab


def test_faults_of_all_sorts_overlap_and_are_proved_each(whole):
    """Whoever does not lead takes no part in what is done to the leader; the node that was off comes back."""
    outcome = whole.run("many_faults")
    results = record(whole.newest(), "results.json")
    faults = {fault["id"]: fault for fault in results["faults"]}
    assert {name: fault["reason"] for name, fault in faults.items()} == dict.fromkeys(faults, "")
    assert (outcome.status, results["verdict"]) == (0, "pass"), outcome.output[-3000:]
    for name in ("kill-leader", "leader-alone"):
        evidence = faults[name]["evidence"]
        assert len(evidence["nodes"]) == 1 and len(evidence["idle"]) == 2
        assert all("its leader was" in reason for reason in evidence["idle"].values())
    assert faults["on-term"]["applied_s"] > 6, "the term changed when the leader was killed"
    journal = whole.on("n1", "journalctl --unit=etcd --output=cat --no-pager")
    times = re.findall(r'"election-timeout":"([^"]+)"', journal)
    assert "1.2s" in times and times[-1] == "1s", "as the scenario says for the run, then as before"


def test_what_no_node_can_do_is_refused_with_its_name_and_reason(whole, tmp_path):
    """A container's clock is the host's: the run ends before anything is touched, node by node."""
    scenario = tmp_path / "clock.yml"
    scenario.write_text(
        "{name: clock, system: etcd, duration: 10s, workload: {rate: 10}, success_criteria: {error_rate: 1},"
        " conditions: [{type: clock, at: 1s, for: 5s, nodes: [n1, n2], action: step, offset: 30s}]}"
    )
    outcome = whole.playbook("run", "-e", f"scenario={scenario}")
    assert outcome.status == 12
    for node in ("n1", "n2"):
        assert (
            f"{node} cannot do clock-1 (clock): this provider's nodes share the host's clock"
            in outcome.output
        )
    assert "n3 cannot do" not in outcome.output
