# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Damaged files and read-only paths on real nodes."""

from __future__ import annotations

import pytest
from fault_lab import differences, install_agent, stage, state_of
from support import wait_until

pytestmark = pytest.mark.lab

FOLDER = "/srv/foundation-testbed-test"
FACTS = "sha256sum {0}; stat -c '%i %a %U %s %Y' {0}"
HEALTHY = "ETCDCTL_API=3 etcdctl --command-timeout=1s endpoint health 2>&1 | grep -c 'is healthy' || true"


@pytest.fixture(scope="module")
def node(lab):
    """A node with a few files of its own, and this checkout's agent."""
    install_agent(lab, "n2")
    lab.on("n2", f"mkdir -p {FOLDER}/inner && cd {FOLDER} && seq 100000 > a.log && seq 50000 > inner/b.log")
    yield "n2"
    lab.on("n2", f"rm -r {FOLDER}")


def fault(start_s, end_s, **program):
    return {"type": "storage", "start_s": start_s, "end_s": end_s, "node": program}


def can_write(lab, node, folder):
    """Whether a process that starts now can make a file there; what it gets told otherwise."""
    said = lab.on(node, f"touch {folder}/x 2>&1 && rm {folder}/x && echo yes", check=False)
    assert said.strip() == "yes" or "Read-only file system" in said
    return said.strip() == "yes"


def assert_proved(staged, count):
    assert staged.ledger("error") == []
    assert [(e["present"], e["effective"]) for e in staged.ledger("record")] == [(True, True)] * count
    assert [(e["traces"], e["probe_passed"]) for e in staged.ledger("gone")] == [([], True)] * count


def end_of(lab, staged):
    wait_until(
        lambda: not lab.on(staged.node, f"systemctl list-units -q {staged.unit}"), 10, "the unit has ended"
    )


def test_files_are_damaged_and_come_back_byte_for_byte(lab, node):
    """Two files at once, one of them open in a process that goes on reading it."""
    before, facts = state_of(lab, node), lab.on(node, FACTS.format(f"{FOLDER}/a.log {FOLDER}/inner/b.log"))
    cut = fault(1, 4, action="truncate", file=f"{FOLDER}/a.log", size=1000)
    flipped = fault(2, 6, action="bit_flip", file=f"{FOLDER}/inner/*.log", bits=9, seed=5)
    staged = stage(lab, node, [cut, flipped])
    staged.wait_for(3)
    assert lab.on(node, f"stat -c %s {FOLDER}/a.log").strip() == "1000"
    differ = lab.on(node, f"seq 50000 | cmp -l - {FOLDER}/inner/b.log | wc -l", check=False)
    assert 1 <= int(differ) <= 9
    staged.finish()
    assert_proved(staged, 2)
    assert lab.on(node, FACTS.format(f"{FOLDER}/a.log {FOLDER}/inner/b.log")) == facts
    assert differences(before, state_of(lab, node)) == []


def test_read_only_paths_overlap_and_end_one_by_one(lab, node):
    """The outer path ends before the inner one, which was made first."""
    before = state_of(lab, node)
    inner = fault(1, 6, action="read_only", path=f"{FOLDER}/inner")
    staged = stage(lab, node, [inner, fault(2, 4, action="read_only", path=FOLDER)])
    staged.wait_for(1.5)
    assert (can_write(lab, node, FOLDER), can_write(lab, node, f"{FOLDER}/inner")) == (True, False)
    staged.wait_for(2.7)
    assert (can_write(lab, node, FOLDER), can_write(lab, node, f"{FOLDER}/inner")) == (False, False)
    staged.wait_for(4.7)
    assert (can_write(lab, node, FOLDER), can_write(lab, node, f"{FOLDER}/inner")) == (True, False)
    staged.finish()
    assert can_write(lab, node, f"{FOLDER}/inner")
    assert_proved(staged, 2)
    assert differences(before, state_of(lab, node)) == []


def test_the_agents_death_ends_all(lab, node):
    before, facts = state_of(lab, node), lab.on(node, FACTS.format(f"{FOLDER}/a.log"))
    cut = fault(1, 60, action="truncate", file=f"{FOLDER}/a.log", bytes=1000)
    staged = stage(lab, node, [cut, fault(1, 60, action="read_only", path=f"{FOLDER}/inner")])
    staged.wait_for(2)
    assert not can_write(lab, node, f"{FOLDER}/inner")
    assert lab.on(node, FACTS.format(f"{FOLDER}/a.log")) != facts
    lab.on(node, f"systemctl kill --signal=SIGKILL {staged.unit}")
    wait_until(lambda: can_write(lab, node, f"{FOLDER}/inner"), 20, "the path is writable again")
    wait_until(lambda: lab.on(node, FACTS.format(f"{FOLDER}/a.log")) == facts, 20, "the file is back")
    end_of(lab, staged)
    assert differences(before, state_of(lab, node)) == []


def test_a_member_meets_a_cut_log_and_is_well_again(lab, node):
    """etcd is stopped around the damage and around the way back."""
    program = {"action": "truncate", "file": "/var/lib/etcd/testbed/member/wal/*.wal", "size": 100}
    staged = stage(lab, node, [fault(1, 4, **program, unit="etcd.service")])
    staged.wait_for(3)
    assert int(lab.on(node, "stat -c %s /var/lib/etcd/testbed/member/wal/*.wal")) <= 100
    staged.finish()
    assert_proved(staged, 1)
    wait_until(lambda: lab.on(node, HEALTHY).strip() == "1", 20, "the member is healthy")
    lab.on(node, "rm -f /var/lib/etcd/testbed/member/wal/*.broken")


def test_a_read_only_disk_keeps_a_member_down(lab, node):
    before = state_of(lab, node)
    staged = stage(lab, node, [fault(1, 4, action="read_only", path="/var/lib/etcd", unit="etcd.service")])
    staged.wait_for(2)
    assert lab.on(node, "systemctl is-active etcd", check=False).strip() != "active"
    staged.finish()
    assert_proved(staged, 1)
    wait_until(lambda: lab.on(node, HEALTHY).strip() == "1", 20, "the member is healthy")
    assert differences(before, state_of(lab, node)) == []


def test_what_cannot_be_done_is_said(lab, node):
    lab.on(node, f"mkdir -p {FOLDER}/m && mount -t tmpfs x {FOLDER}/m && ln -sf /etc/hosts {FOLDER}/link")
    faults = [
        fault(1, 2, action="read_only", path=FOLDER),
        fault(1, 2, action="truncate", file=f"{FOLDER}/link", size=0),
        fault(1, 2, action="truncate", file=f"{FOLDER}/none", size=0, unit="none.service"),
    ]
    staged = stage(lab, node, faults)
    staged.finish()
    lab.on(node, f"umount {FOLDER}/m; rm {FOLDER}/link; rmdir {FOLDER}/m")
    said = {entry["fault"]: entry["reasons"] for entry in staged.ledger("check")}
    assert said == {
        "storage-1": [f"{FOLDER}/m below {FOLDER} would stay writable: name it instead"],
        "storage-2": [f"{FOLDER}/link is /etc/hosts, and the node itself needs /etc"],
        "storage-3": [
            f"{FOLDER}/none matches no file; allowed: exactly one",
            "there is no unit none.service",
        ],
    }
