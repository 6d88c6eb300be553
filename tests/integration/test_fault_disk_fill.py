# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A node's own disk is full, other faults go on meanwhile, and all of it is given back."""

from __future__ import annotations

import pytest
from fault_lab import differences, install_agent, stage, state_of
from support import wait_until

pytestmark = pytest.mark.lab

NODE, DATA = "n1", "/var/lib/etcd"
OURS = "ls -d /.foundation-testbed-* 2>/dev/null"


@pytest.fixture(scope="module")
def node(lab):
    """A node with this checkout's agent, the same after the tests as before them."""
    install_agent(lab, NODE)
    before = state_of(lab, NODE)
    yield lab
    try:
        wait_until(lambda: differences(before, state_of(lab, NODE)) == [], 20, "the node as it was")
    finally:
        print("left of the node:", differences(before, state_of(lab, NODE)))


def fill(start_s, end_s, target, resource="space", path=DATA):
    program = {"resource": resource, "target": target, "path": path}
    return {"type": "disk_fill", "start_s": start_s, "end_s": end_s, "node": program}


def used_percent(lab, what="--output=pcent"):
    return float(lab.on(NODE, f"df {what} {DATA} | tail -1").strip().rstrip("%"))


def record_of(ledger, fault="disk_fill-1"):
    """The record of a fault that went well."""
    own = [entry for entry in ledger if entry["fault"] == fault]
    assert not [entry for entry in own if entry["event"] == "error"], own
    (gone,) = [entry for entry in own if entry["event"] == "gone"]
    assert gone["traces"] == []
    assert all(entry["present"] for entry in own if entry["event"] == "evidence"), own
    return next(entry for entry in own if entry["event"] == "record")


def test_space_and_inodes_at_once_each_by_itself(node):
    before = used_percent(node)
    staged = stage(node, NODE, [fill(1, 16, 90), fill(2, 8, 100, "inodes")])
    staged.wait_for(3)
    assert abs(used_percent(node) - 90) <= 2
    wait_until(lambda: used_percent(node, "--output=ipcent") == 100, 20, "no inode left")
    denied = node.on(NODE, "touch /root/one_more 2>&1", check=False)
    assert "No space left" in denied
    staged.wait_for(9.2)
    assert used_percent(node, "--output=ipcent") < 50
    node.on(NODE, "head -c 60M /dev/zero > /root/of_somebody")  # it makes way
    staged.wait_for(11)
    assert abs(used_percent(node) - 90) <= 2
    node.on(NODE, "rm /root/of_somebody")  # its room is filled again well before the end
    ledger = staged.finish()
    assert record_of(ledger)["effective"]
    inodes = record_of(ledger, "disk_fill-2")
    assert inodes["effective"] and inodes["writes_of_ours"]["denied"] > 0
    assert used_percent(node) <= before + 3


def test_a_partition_goes_on_while_no_byte_is_left(node):
    """It is applied, recorded and reverted, and the ledger is whole at the end."""
    peer = node.on(NODE, "getent hosts n2").split()[0]
    cut = {"blocked": {"n2": peer}, "open": {}, "direction": "both"}
    staged = stage(
        node, NODE, [fill(1, 9, 100), {"type": "partition", "start_s": 4, "end_s": 7, "node": cut}]
    )
    staged.wait_for(5)
    assert "No space left" in node.on(
        NODE, f"head -c 8192 /dev/zero 2>&1 > {DATA}/more", check=False
    ) + node.on(NODE, f"dd if=/dev/zero of={DATA}/more bs=8192 count=1 conv=fsync 2>&1", check=False)
    assert node.tables(NODE)
    staged.wait_for(8)
    assert node.tables(NODE) == []
    ledger = staged.finish()
    node.on(NODE, f"rm -f {DATA}/more; systemctl start etcd")
    assert record_of(ledger)["effective"]
    events = [entry["event"] for entry in ledger if entry["fault"] == "partition-2"]
    assert events[0] == "check" and events[-1] == "record"
    assert {"load", "apply", "evidence", "revert", "gone"} <= set(events)
    assert record_of(ledger, "partition-2")["effective"]
    assert ledger[-1]["event"] == "end"


def test_a_killed_agent_leaves_nothing_on_a_full_disk(node):
    staged = stage(node, NODE, [fill(1, 60, 100), fill(3, 60, 100, "inodes")])
    staged.wait_for(2.5)
    assert node.on(NODE, OURS)
    node.on(NODE, f"systemctl kill --signal=KILL --kill-whom=main {staged.unit}")
    wait_until(lambda: node.on(NODE, OURS, check=False) == "", 20, "the folders gone")
    node.on(NODE, "systemctl start etcd")


def test_what_somebody_removes_is_not_present(node):
    staged = stage(node, NODE, [fill(1, 6, 60)])
    staged.wait_for(3)
    node.on(NODE, "rm /.foundation-testbed-*/space")
    seen = [entry["present"] for entry in staged.finish() if entry["event"] == "evidence"]
    assert seen[0] and not seen[-1]


def test_what_is_not_the_nodes_own_is_refused(node):
    install_agent(node, "observer1")
    for host, path, reason in (
        (NODE, "/tmp", "lies in memory"),
        ("observer1", "/var/lib", "endanger the host"),
    ):
        (check,) = [
            entry
            for entry in stage(node, host, [fill(1, 2, 50, path=path)]).finish()
            if entry["event"] == "check"
        ]
        assert not check["able"] and reason in check["reasons"][0]
