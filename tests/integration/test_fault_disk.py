# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Disks of real nodes get slow, fail, and lose at a power cut what was not fsynced."""

from __future__ import annotations

import os
import signal
import statistics
import time

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.lab import power
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switch_container import ContainerSwitch
from conftest import NODES
from support import wait_until
from test_fault_power import UNIT, begin, entries, paths, programs, proof

pytestmark = pytest.mark.lab
__all__ = ["paths"]

FSYNC = """
import os, time
handle = os.open("/var/tmp/probe", os.O_WRONLY | os.O_CREAT)
for _ in range(3):
    began = time.monotonic()
    os.pwrite(handle, os.urandom(4096), 0)
    os.fsync(handle)
    print(time.monotonic() - began)
os.unlink("/var/tmp/probe")
"""


@pytest.fixture(autouse=True)
def deployed(lab):
    """What was deployed is on the disks, as it is when a run is staged."""
    for node in NODES:
        lab.on(node, "sync --file-system /etc")


def fsync_s(lab, node):
    """Median of three fsyncs as a process of the node feels them."""
    return statistics.median(map(float, lab.on(node, "python3 -", stdin=FSYNC).split()))


def gone(folder, node, fault):
    (entry,) = [entry for entry in entries(folder, node, fault) if entry["event"] == "gone"]
    return entry


def test_a_slow_disk_is_slow_for_its_node_alone_whoever_dies(lab, paths, tmp_path):
    """The node's own fsyncs wait, another's do not; the worker is killed on the way."""
    before_s = fsync_s(lab, "n1")
    slow = {"type": "disk", "iops": 10}
    job = begin(paths, tmp_path, ("slow", "n1", "slow", 1, 14), more=slow)
    limit = ContainerSwitch(paths, "n1").node.disk_limit()
    wait_until(lambda: limit.get() == 10, 20, "the disk of n1 is slow")
    assert fsync_s(lab, "n1") > 0.08 > before_s
    assert fsync_s(lab, "n2") < 0.08
    worker, _spare = programs(paths, job)
    os.kill(worker, signal.SIGKILL)
    assert power.await_end(paths, job["run"], 60)
    held = [entry for entry in entries(tmp_path, "n1", "slow") if entry["event"] == "evidence"]
    assert held and all(entry["present"] and entry["iops"] == 10 for entry in held)
    assert held[-1]["effective"] and gone(tmp_path, "n1", "slow")["probe_passed"]
    assert gone(tmp_path, "n1", "slow")["traces"] == []
    assert limit.get() is None


def test_a_disk_that_fails_comes_back_with_what_had_reached_it(lab, paths, tmp_path):
    lab.on("n2", "echo kept > /srv/kept && sync /srv/kept")
    job = begin(paths, tmp_path, ("fail", "n2", "fail", 1, 6), more={"type": "disk"})
    assert power.await_end(paths, job["run"], 90)
    held = [entry for entry in entries(tmp_path, "n2", "fail") if entry["event"] == "evidence"]
    assert held and all(entry["present"] and entry["effective"] for entry in held)
    assert held[-1]["asked"]["errors"] == held[-1]["asked"]["sent"] > 0
    assert gone(tmp_path, "n2", "fail")["traces"] == [] and gone(tmp_path, "n2", "fail")["probe_passed"]
    assert lab.on("n2", "cat /srv/kept; rm /srv/kept").strip() == "kept"
    wait_until(lambda: "active" in lab.on("n2", f"systemctl is-active {UNIT}", check=False), 30, UNIT)


def test_a_power_cut_loses_what_was_not_fsynced(lab, paths, tmp_path):
    lab.on("n3", "echo kept > /srv/kept && sync /srv/kept && sync /srv")
    job = begin(paths, tmp_path, ("cut", "n3", "crash", 5, 11), more={"lose_unsynced": True})
    time.sleep(max(job["start_wall_ns"] / 1e9 + 3 - time.time(), 0))
    lab.on("n3", "echo kept > /srv/lost")
    assert power.await_end(paths, job["run"], 90)
    record = proof(tmp_path, "n3", "cut")
    assert record["synced_kept"] and record["unsynced_lost"]
    wait_until(lambda: ContainerSwitch(paths, "n3").answers(), 30, "n3 answers")
    assert lab.on("n3", "cat /srv/kept /srv/lost 2>/dev/null; rm -f /srv/kept /srv/lost").strip() == "kept"
    wait_until(lambda: "active" in lab.on("n3", f"systemctl is-active {UNIT}", check=False), 30, UNIT)


def test_heal_mends_what_two_dead_programs_left(lab, paths, tmp_path):
    job = begin(paths, tmp_path, ("slow", "n1", "slow", 0, 300), more={"type": "disk", "iops": 50})
    limit = ContainerSwitch(paths, "n1").node.disk_limit()
    wait_until(lambda: limit.get() == 50, 20, "the disk of n1 is slow")
    for pid in reversed(programs(paths, job)):
        os.kill(pid, signal.SIGKILL)
    outcome = lab.playbook("heal")
    assert outcome.status == 0, outcome.output[-2000:]
    assert limit.get() is None
