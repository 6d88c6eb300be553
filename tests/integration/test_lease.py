# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""No fault outlives its plan, whatever dies."""

from __future__ import annotations

import time

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.faults._cut_rules import ruleset
from conftest import NODES
from support import record

pytestmark = pytest.mark.lab

START_S, END_S = 4, 16


def reaches(lab, node, peer):
    """Whether a node can open a connection to a peer's etcd."""
    return (
        lab.on(node, f"timeout 1 bash -c '</dev/tcp/{peer}/2380' && echo yes || true", check=False).strip()
        == "yes"
    )


def addresses(lab):
    return {node: lab.on(node, "hostname -I").strip() for node in NODES}


def assert_cut(lab, where):
    assert not reaches(lab, "n1", where["n3"]) and not reaches(lab, "n3", where["n1"])
    assert reaches(lab, "n1", where["n2"])


def assert_whole(lab, where):
    assert all(reaches(lab, a, where[b]) for a in NODES for b in NODES if a != b)


def test_the_controllers_death_changes_nothing(whole):
    """SIGKILL in mid-partition: cut until the planned end, whole after it; the run can still be judged."""
    where = addresses(whole)
    controller = whole.begin("long_partition")
    controller.wait_for(START_S + 2)
    controller.kill()
    assert_cut(whole, where)
    controller.wait_for(END_S - 2)
    assert whole.tables("n1") and whole.tables("n3")
    controller.wait_for(END_S + 1)
    assert_whole(whole, where)
    assert [whole.tables(node) for node in NODES] == [[], [], []]
    controller.wait_for(36)
    outcome = whole.playbook("report", "-e", f"run={controller.folder.name}")
    assert record(controller.folder, "results.json")["verdict"] == "pass", outcome.output[-3000:]


def test_the_agents_death_heals_its_node(whole):
    """SIGKILL the agents in mid-partition: their units take the fault back; the run counts for nothing."""
    where = addresses(whole)
    controller = whole.begin("long_partition")
    controller.wait_for(START_S + 2)
    assert_cut(whole, where)
    for node in NODES:
        whole.on(node, "systemctl kill --signal=SIGKILL 'foundation-testbed-run-*'")
    controller.wait_for(END_S + 1)
    assert_whole(whole, where)
    assert [whole.tables(node) for node in NODES] == [[], [], []]
    outcome = controller.finish()
    assert (outcome.status, record(controller.folder, "results.json")["verdict"]) == (11, "unknown")


def test_heal_ends_a_run_at_once_and_twice_is_once(whole):
    where = addresses(whole)
    controller = whole.begin("long_partition")
    controller.wait_for(START_S + 1)
    controller.kill()
    first = whole.playbook("heal")
    assert first.status == 0 and first.changed() >= 3
    assert time.time() < controller.start_s + END_S, "too slow a machine to tell healing from the planned end"
    assert_whole(whole, where)
    second = whole.playbook("heal")
    assert (second.status, second.changed()) == (0, 0)


def test_the_kernel_alone_holds_the_lease(whole):
    """Rules loaded by hand, with no process of ours: they begin and end by themselves."""
    where = addresses(whole)
    now = int(float(whole.on("n1", "date +%s")))
    text = ruleset("foundation_testbed_by_hand", [where["n3"]], (now + 3, now + 8), 60000)
    whole.on("n1", f"nft -f - <<'E'\n{text}\nE")
    assert reaches(whole, "n1", where["n3"])
    time.sleep(max(now + 4 - time.time(), 0))
    assert not reaches(whole, "n1", where["n3"])
    time.sleep(max(now + 8.5 - time.time(), 0))
    assert reaches(whole, "n1", where["n3"])
    assert whole.playbook("heal").changed() == 1


def test_a_moved_clock_cannot_prolong_it(whole):
    """The window says an hour, the set's own time-out two seconds: the time-out wins."""
    where = addresses(whole)
    now = int(float(whole.on("n1", "date +%s")))
    text = ruleset("foundation_testbed_by_hand", [where["n3"]], (now - 5, now + 3600), 4000)
    whole.on("n1", f"nft -f - <<'E'\n{text}\nE")
    assert not reaches(whole, "n1", where["n3"])
    time.sleep(4.5)
    assert reaches(whole, "n1", where["n3"])
    whole.playbook("heal")


def test_a_host_of_another_testbed_is_refused(whole):
    whole.on("n2", "sed -i s/itest/other/ /etc/foundation-testbed/enrolment.json")
    try:
        outcome = whole.playbook("heal", "--limit", "n2")
    finally:
        whole.on("n2", "sed -i s/other/itest/ /etc/foundation-testbed/enrolment.json")
    assert outcome.status != 0
    assert "this host is enrolled in the testbed 'other', not in 'itest'" in outcome.output
