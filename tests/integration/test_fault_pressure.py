# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Resources of a real node are used up to what it may have of them, and given back."""

from __future__ import annotations

import pytest
from fault_lab import differences, install_agent, stage, state_of
from support import wait_until

pytestmark = pytest.mark.lab

NODE, UNIT = "n1", "etcd.service"
MARKED = "grep -l FOUNDATION_TESTBED_PRESSURE /proc/[0-9]*/environ 2>/dev/null"
BREATHE = "python3 -c 'import time; held = bytearray(40 << 20); time.sleep(2)'"
# etcd may well end itself when it can open no file; this one lives on.
SERVER = "tb-sample.service"
START_SERVER = f"systemd-run --quiet --uid=nobody --unit={SERVER} python3 -m http.server 8099"


@pytest.fixture(scope="module")
def node(lab):
    """A node with this checkout's agent, the same after the tests as before them."""
    install_agent(lab, NODE)
    lab.on(NODE, f"systemctl start {UNIT}; {START_SERVER}")
    wait_until(lambda: "8099" in lab.on(NODE, "ss -ltn"), 20, "the server listening")
    before = state_of(lab, NODE)
    yield lab
    try:
        wait_until(lambda: differences(before, state_of(lab, NODE)) == [], 20, "the node as it was")
    finally:
        print("left of the node:", differences(before, state_of(lab, NODE)))
        lab.on(NODE, f"systemctl stop {SERVER}")


def pressure(start_s, end_s, resource, **program):
    program = {"resource": resource, **program}
    return {"type": "pressure", "start_s": start_s, "end_s": end_s, "node": program}


def main_pid(lab, unit=UNIT):
    """The main process of a unit that runs, or will in a moment."""
    return wait_until(lambda: int(lab.on(NODE, f"systemctl show -P MainPID {unit}")), 15, f"{unit} running")


def soft_limit(lab, pid):
    return int(lab.on(NODE, f"awk '/^Max open files/ {{print $4}}' /proc/{pid}/limits"))


def tasks(lab):
    return int(lab.on(NODE, "cat /sys/fs/cgroup/pids/pids.current"))


def record_of(ledger, number):
    """The record of a fault that went well."""
    own = [entry for entry in ledger if entry["fault"] == f"pressure-{number}"]
    assert not [entry for entry in own if entry["event"] == "error"], own
    (gone,) = [entry for entry in own if entry["event"] == "gone"]
    assert gone["traces"] == [] and gone["probe_passed"]
    assert all(entry["present"] for entry in own if entry["event"] == "evidence"), own
    return next(entry for entry in own if entry["event"] == "record")


def test_several_resources_at_once_end_each_by_itself(node):
    """Two on memory, one on tasks, one on processors, one on the disk."""
    staged = stage(
        node,
        NODE,
        [
            pressure(1, 8, "memory", target=85),
            pressure(2, 12, "memory", target=70),
            pressure(2, 6, "pids", left=30),
            pressure(3, 10, "cpu", target=50),
            pressure(3, 9, "io", target=100, rate=8 * 2**20, path="/var/lib/etcd"),
        ],
    )
    staged.wait_for(4)
    assert tasks(node) >= 512 - 45
    node.on(NODE, BREATHE)
    staged.wait_for(7)
    assert tasks(node) < 200
    ledger = staged.finish()
    high, low, pids, cpu, io = (record_of(ledger, number) for number in range(1, 6))
    assert all(record["effective"] for record in (high, low, pids, cpu, io)), (high, low, pids, cpu, io)
    assert high["percent_seen"]["highest"] < 97 and high["holder_killed_by_kernel"] == 0
    assert abs(low["percent"] - 70) < 8 and low["held"] > 50 * 2**20
    assert cpu["percent"] + cpu["own_waited_percent"] >= 40
    assert io["syncs"] > 50
    assert node.on(NODE, MARKED, check=False) == ""


def test_a_unit_without_descriptors(node):
    """Two on one unit: the lower limit holds, and each gives back its own."""
    pid = main_pid(node, SERVER)
    before = soft_limit(node, pid)
    staged = stage(
        node,
        NODE,
        [
            pressure(1, 6, "descriptors", unit=SERVER, target=100),
            pressure(2, 9, "descriptors", unit=SERVER, target=60),
        ],
    )
    staged.wait_for(4)
    lowest = soft_limit(node, pid)
    staged.wait_for(7)
    later = soft_limit(node, pid)
    ledger = staged.finish()
    record = record_of(ledger, 1)
    assert record["effective"] and record["highest_percent"] == 100
    assert record["connections"]["not_accepted"] > 0, record["connections"]
    assert lowest < 100 < before
    assert lowest <= later < before
    assert soft_limit(node, pid) == before
    assert main_pid(node, SERVER) == pid


def test_the_kernel_kills_a_unit_for_want_of_memory(node):
    pid = main_pid(node)
    record = record_of(stage(node, NODE, [pressure(1, 6, "oom", unit=UNIT)]).finish(), 1)
    assert record["effective"] and record["killed_by_kernel"] >= 1
    assert record["victim"]["pid"] == pid
    assert main_pid(node) != pid


def test_a_killed_agent_leaves_nothing(node):
    pid = main_pid(node, SERVER)
    before = soft_limit(node, pid)
    staged = stage(
        node,
        NODE,
        [
            pressure(1, 60, "memory", target=80),
            pressure(1, 60, "pids", left=24),
            pressure(1, 60, "cpu", target=40),
            pressure(1, 60, "descriptors", unit=SERVER, target=100),
        ],
    )
    staged.wait_for(4)
    assert soft_limit(node, pid) < before
    assert tasks(node) > 450
    node.on(NODE, f"systemctl kill --signal=KILL --kill-whom=main {staged.unit}")
    wait_until(lambda: node.on(NODE, MARKED, check=False) == "", 20, "the processes gone")
    wait_until(lambda: soft_limit(node, pid) == before, 20, "the limit given back")
    wait_until(lambda: node.on(NODE, "ls /run/foundation-testbed/pressure") == "", 20, "the markers gone")
    assert tasks(node) < 200


def test_a_holder_that_somebody_ends_is_not_present(node):
    staged = stage(node, NODE, [pressure(1, 6, "memory", target=60)])
    staged.wait_for(3)
    node.on(NODE, f"{MARKED} | cut -d/ -f3 | xargs kill -9")
    seen = [entry for entry in staged.finish() if entry["event"] == "evidence"]
    assert seen[0]["present"] and seen[0]["effective"]
    assert not seen[-1]["present"] and not seen[-1]["effective"]
