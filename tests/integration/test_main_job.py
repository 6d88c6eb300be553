# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The main job on real nodes, and the five ways in which it must be able not to pass."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest
from support import HERE, STATE_DIR, record

pytestmark = pytest.mark.lab

RECORDS = {
    "scenario.yml",
    "plan.json",
    "role_variables.json",
    "run.json",
    "history.jsonl.gz",
    "load.json",
    "ledger.jsonl",
    "samples.jsonl",
    "metrics.json",
    "probes.jsonl",
    "series.json",
    "summary.md",
    "logs",
    "results.json",
    "junit.xml",
    "report.html",
}


def test_a_second_provision_and_deploy_change_nothing(lab):
    for playbook in ("provision", "deploy"):
        outcome = lab.playbook(playbook)
        assert (outcome.status, outcome.changed()) == (0, 0), outcome.output[-3000:]


def test_a_partition_passes_and_leaves_every_record(whole):
    outcome = whole.run("partition")
    folder = whole.newest()
    results = record(folder, "results.json")
    assert outcome.status == 0, (results["reasons"], outcome.output[-3000:])
    assert results["verdict"] == "pass"
    assert {path.name for path in folder.iterdir()} == RECORDS
    assert {path.name for path in (folder / "logs").iterdir()} == {"n1", "n2", "n3", "observer1"}
    assert "etcd" in (folder / "logs" / "n1" / "etcd.service.log").read_text()
    assert str(folder / "report.html") in outcome.output
    assert ET.parse(folder / "junit.xml").getroot() is not None


def test_the_partition_proves_itself(lab):
    """Every node felt the cut and its end, dropped packets, let no probe pass, and kept no trace."""
    folder = lab.newest()
    (fault,) = record(folder, "results.json")["faults"]
    assert fault["proved"] is True and fault["targets"] == ["n1", "n2", "n3"]
    assert fault["skew_ms"] is not None and fault["heal_skew_ms"] is not None
    ledger = [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]
    for node in ("n1", "n2", "n3"):
        acts = {
            entry["event"]: entry for entry in ledger if entry["node"] == node and entry["fault"] == "split"
        }
        assert set(acts) == {"check", "load", "apply", "evidence", "revert", "gone", "record"}
        assert acts["record"]["packets"]["out"] > 0 and acts["record"]["probes"]["passed"] == 0
        assert acts["gone"]["traces"] == [] and acts["gone"]["probe_passed"] is True
        assert abs(acts["apply"]["t_s"] - 4) < 1 and abs(acts["revert"]["t_s"] - 10) < 1


def test_the_same_scenario_compiles_to_the_same_bytes(lab):
    plan = (lab.newest() / "plan.json").read_bytes()
    lab.run("partition")
    assert (lab.newest() / "plan.json").read_bytes() == plan


def test_stale_reads_are_found(whole):
    """Serializable reads from the isolated member are stale: the checker says so, and the playbook fails."""
    outcome = whole.run("stale_reads")
    results = record(whole.newest(), "results.json")
    assert (outcome.status, results["verdict"]) == (10, "fail")
    (check,) = results["checks"]
    assert check["verdict"] == "fail"
    assert any("n3 read" in anomaly["message"] for anomaly in check["anomalies"])
    assert results["faults"][0]["proved"] is True


def test_a_node_that_does_not_exist_is_one_error_before_anything_is_touched(lab):
    runs = sorted(lab.runs_dir.iterdir())
    on_node = lab.on("n1", "ls /var/lib/foundation-testbed/runs")
    outcome = lab.run("unknown_node")
    assert outcome.status == 12
    assert (
        "unknown_node.yml:20: conditions[0].groups.minority: given 'n9'; allowed: n1, n2, n3"
        in outcome.output
    )
    assert sorted(lab.runs_dir.iterdir()) == runs
    assert lab.on("n1", "ls /var/lib/foundation-testbed/runs") == on_node


def test_an_unhealthy_cluster_is_unknown_and_nothing_is_broken(whole):
    whole.on("n2", "systemctl stop etcd")
    try:
        outcome = whole.run("partition")
    finally:
        whole.on("n2", "systemctl start etcd")
    results = record(whole.newest(), "results.json")
    assert (outcome.status, results["verdict"]) == (13, "unknown")
    assert any("n2 was not healthy before the run" in reason for reason in results["reasons"])
    assert "programs" not in outcome.output and not (whole.newest() / "ledger.jsonl").exists()
    assert whole.playbook("verify").status == 0


def test_a_load_of_zero_is_unknown(whole):
    outcome = whole.run("no_load")
    results = record(whole.newest(), "results.json")
    assert (outcome.status, results["verdict"]) == (11, "unknown")
    assert any("load" in reason.lower() for reason in results["reasons"])


def test_a_rule_removed_behind_its_back_is_unknown(whole):
    controller = whole.begin("partition")
    controller.wait_for(6)
    (table,) = whole.tables("n3")
    whole.on("n3", f"nft delete table inet {table}")
    outcome = controller.finish()
    results = record(controller.folder, "results.json")
    assert (outcome.status, results["verdict"]) == (11, "unknown")
    assert results["faults"][0]["proved"] is False
    assert any("n3" in reason for reason in results["reasons"])


def test_a_host_whose_key_is_not_the_labs_is_unreachable(whole):
    """Host keys are checked: with another key for n3 the run does not begin, with a status of its own."""
    known_hosts = STATE_DIR / "labs" / "itest" / "ssh" / "known_hosts"
    right = known_hosts.read_text()
    keys = {line.split()[0].split(",")[0]: line.split()[2] for line in right.splitlines()}
    known_hosts.write_text(right.replace(keys["n3"], keys["n1"]))
    try:
        outcome = whole.playbook(
            "run", "-e", f"scenario={HERE / 'scenarios' / 'partition.yml'}",
            env={"ANSIBLE_SSH_ARGS": "-o ControlMaster=no -o ControlPath=none"},
        )  # fmt: skip
    finally:
        known_hosts.write_text(right)
    results = record(whole.newest(), "results.json")
    assert (outcome.status, results["verdict"]) == (4, "unknown"), outcome.output[-2000:]
    assert any("n3 is unreachable" in reason for reason in results["reasons"])


def test_a_node_cannot_take_more_than_its_own_memory(whole):
    """The node has 512 MiB: what asks for more is killed there, and the node lives on."""
    assert "done" not in whole.on("n1", "python3 -c 'bytearray(700 * 2**20); print(\"done\")'", check=False)
    assert "done" in whole.on("n1", "python3 -c 'bytearray(100 * 2**20); print(\"done\")'")
    assert whole.playbook("verify").status == 0
