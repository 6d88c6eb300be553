# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A node's disk that is slow or fails: the limit, the trains that feel it, the witness of what was lost."""

from __future__ import annotations

import contextlib
import random
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.agent import own_limits
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import ClusterView, Targets
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import read_parameters
from ansible_collections.foundation.testbed.plugins.module_utils.faults.disk import FAULT
from ansible_collections.foundation.testbed.plugins.module_utils.lab import disk_fault, provider_fault
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError
from ansible_collections.foundation.testbed.plugins.module_utils.lab.disk_fault import (
    DiskFault,
    Train,
    slowest,
    train_length,
    waits_s,
)
from ansible_collections.foundation.testbed.plugins.module_utils.lab.disk_limit import (
    DiskLimit,
    can_limit,
    disk_limit,
)
from ansible_collections.foundation.testbed.plugins.module_utils.lab.witness import DiskWitness
from hypothesis import given
from hypothesis import strategies as st

IOPS = st.integers(min_value=2, max_value=2000)


def programs(said, **provider):
    params, problems = read_parameters(FAULT.parameters, said)
    problems = [*problems, *(() if problems else FAULT.problems(params))]
    assert not problems, problems
    cluster = ClusterView("t", dict.fromkeys(provider, "10.0.0.1"), {}, {}, {}, provider=provider)
    return FAULT.plan(params, Targets(list(provider), cluster, random.Random(0)))


def test_a_slow_disk_has_its_speed_and_is_not_down():
    said = {"action": "slow", "iops": "20"}
    assert programs(said, n1="container") == {"n1": {"action": "slow", "iops": 20}}
    assert not FAULT.takes_down({"action": "slow"}) and FAULT.takes_down({"action": "fail"})


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"action": "slow"}, "iops: is required for slow"),
        ({"action": "fail", "iops": 5}, "iops: given for fail; allowed: with slow only"),
        ({"action": "slow", "iops": 1}, "iops: given 1; allowed: a whole number from 2 to 2000"),
        ({"action": "melt"}, "action: given 'melt'; allowed: "),
    ],
)
def test_mistakes(said, words):
    with pytest.raises(AssertionError, match=words):
        programs(said, n1="container")


def test_every_node_that_no_hand_reaches_is_named():
    with pytest.raises(
        ValueError, match="for n1 of the provider vm, n3 of the provider baremetal; allowed: no"
    ):
        programs({"action": "fail"}, n1="vm", n2="container", n3="baremetal")


@pytest.mark.parametrize(
    ("told", "action", "able"),
    [
        ({"disk_bytes": 2**30, "disk_limit": True}, "slow", True),
        ({"disk_bytes": 2**30, "disk_limit": False}, "slow", False),
        ({"disk_bytes": 2**30, "disk_limit": False}, "fail", True),
        ({"disk_bytes": None}, "fail", False),
    ],
)
def test_a_node_says_whether_its_disk_can(monkeypatch, told, action, able):
    monkeypatch.setattr(own_limits, "told", lambda: told)
    assert (FAULT.capable({"action": action}) == []) is able


@given(IOPS, st.sampled_from([1, 2]), st.integers(0, 999), st.integers(0, 999))
def test_a_limit_is_read_as_the_kernel_keeps_it(tmp_path_factory, iops, version, major, minor):
    """The kernel lists one line a device, and none for a device without a limit."""
    limit = DiskLimit(tmp_path_factory.mktemp("group"), version, f"{major}:{minor}")
    other = (
        f"{major}:{minor}1 77" if version == 1 else f"{major}:{minor}1 rbps=max wbps=max riops=77 wiops=77"
    )
    (written,) = set(limit.files(iops).values())
    kept = written if version == 1 else written.replace("riops", "rbps=max wbps=max riops")
    assert limit.read_in(f"{other}\n{kept}\n") == iops
    assert limit.read_in(f"{other}\n") is None


def test_the_limit_lies_where_the_kernel_has_it(tmp_path):
    v1, v2, group = tmp_path / "blkio", tmp_path / "unified", tmp_path / "unified" / "node"
    for folder in (v1, group):
        folder.mkdir(parents=True)
    (v1 / "blkio.throttle.read_iops_device").touch()
    (group / "io.max").touch()
    (v2 / "cgroup.controllers").write_text("cpu io memory")
    second = f"cgroup2 {v2} cgroup2 rw 0 0\n"
    first = f"cgroup {v1} cgroup rw,blkio 0 0\n"
    assert disk_limit("7:1", group, first + second) == DiskLimit(v1, 1, "7:1")
    assert disk_limit("7:1", group, second) == DiskLimit(group, 2, "7:1")
    assert can_limit(second) and can_limit(first)
    (v2 / "cgroup.controllers").write_text("cpu memory")
    assert disk_limit("7:1", None, second) is None and not can_limit(second)


@given(IOPS)
def test_a_train_has_to_wait_for_longer_than_a_slice(iops):
    assert train_length(iops) >= 3 and 0.1 <= waits_s(iops) <= 1.0


def test_the_lowest_limit_of_those_that_hold_is_in_force():
    ended = {"iops": 5, "applied": True, "last": {}}
    to_come = {"iops": 6, "applied": False}
    held = [{"iops": 30, "applied": True}, {"iops": 20, "applied": True}, {"applied": True, "action": "off"}]
    assert slowest([ended, to_come]) is None
    assert slowest([ended, to_come, *held]) == 20


def test_a_witness_tells_what_was_lost(tmp_path):
    witness = DiskWitness(Path(tmp_path, "witness-cut"))
    assert witness.read() == {"synced_kept": False, "unsynced_lost": True}
    witness.write()
    assert witness.read() == {"synced_kept": True, "unsynced_lost": False}
    witness.unsynced.write_bytes(b"")
    assert witness.read() == {"synced_kept": True, "unsynced_lost": True}
    witness.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def slow(tmp_path):
    """A fault of five operations a second, its journal, and a node whose group of v2 comes and goes."""
    group, disk = tmp_path / "group", tmp_path / "disk"
    for folder in (group, disk, tmp_path / "power"):
        folder.mkdir()
    (group / "io.max").touch()
    node = SimpleNamespace(
        name="n1",
        paths=SimpleNamespace(disk=disk),
        has_disk=lambda: True,
        disk_limit=lambda: DiskLimit(group, 2, "7:0") if group.exists() else None,
    )
    switch = SimpleNamespace(
        name="n1",
        provider="container",
        node=node,
        running=group.exists,
        innermost_group=lambda: None,
        exclusively=contextlib.nullcontext,
    )
    job = {
        "state_dir": str(tmp_path),
        "testbed_id": "t",
        "start_wall_ns": 0,
        "records": str(tmp_path / "rec"),
    }
    fault = {"id": "slow", "node": "n1", "action": "slow", "iops": 5}
    (tmp_path / "power" / "job.json").touch()
    entry = {**fault, "type": "disk", "applied": True, "before_ms": 1.0}
    return SimpleNamespace(fault=DiskFault(tmp_path / "power", job, fault), switch=switch, entry=entry)


def test_a_train_is_timed_without_the_question_where_to_write_from(slow, monkeypatch):
    """Under systemd that question takes longer than the train: every disk seemed slow before the fault."""
    monkeypatch.setattr(disk_fault, "_joined", lambda _switch: time.sleep(0.3))
    monkeypatch.setattr(disk_fault, "run", lambda *_, **__: "")
    assert slow.fault._train(slow.switch, 5) < 0.2


def test_a_refused_fault_leaves_no_file_on_the_disk(slow, monkeypatch):
    def write(argv, **_):
        Path(argv[2].partition("=")[2]).touch()
        time.sleep(0.25)

    monkeypatch.setattr(disk_fault, "run", write)
    with pytest.raises(LabError, match="iops: given 5; allowed: less than half of the"):
        slow.fault._prepare(slow.switch)
    assert list(slow.switch.node.paths.disk.iterdir()) == []


def test_a_train_of_a_node_that_is_gone_has_ended():
    def write():
        raise subprocess.SubprocessError("Exception occurred in preexec_fn.")

    train = Train(write)
    train.join(5)
    assert train.ended_s is not None and train.took_s < 1


def test_a_node_that_is_cut_meanwhile_is_slow_again(slow):
    """Its group, and the limit with it, is gone while it is off: neither an error nor in place."""
    limit = slow.switch.node.disk_limit()
    text = (limit.folder / "io.max").read_text()
    (limit.folder / "io.max").unlink()
    limit.folder.rmdir()
    slow.fault._keep(slow.switch, slow.entry)
    assert not slow.fault._evidence(slow.switch, slow.entry)["present"]
    assert not DiskFault.ails(slow.switch, slow.entry)
    DiskFault.heal(slow.switch, slow.entry, [])
    limit.folder.mkdir()
    (limit.folder / "io.max").write_text(text)
    slow.fault._keep(slow.switch, slow.entry)
    assert limit.get() == 5 and slow.fault._evidence(slow.switch, slow.entry)["present"]
    assert DiskFault.ails(slow.switch, slow.entry)
    slow.fault._train_file(slow.switch).touch()
    DiskFault.heal(slow.switch, slow.entry, [])
    assert list(slow.switch.node.paths.disk.iterdir()) == []


def test_a_disk_that_two_runs_have_fail_is_mended_by_the_last(slow, monkeypatch):
    """The first that ends would have cut the node's power, and the other's disk would not fail any more."""
    beside = []
    monkeypatch.setattr(
        provider_fault, "cut_entries", lambda _lab: [(Path("/elsewhere/x"), e) for e in beside]
    )
    monkeypatch.setattr(provider_fault, "works", lambda _folder: True)
    monkeypatch.setattr(disk_fault.disk, "fails", lambda _paths: True)
    cuts = []
    slow.switch.cut = lambda: cuts.append(True)
    slow.switch.running = lambda: True
    slow.fault.fault["action"] = "fail"
    held = {"node": "n1", "action": "fail", "applied": True}
    beside[:] = [held]
    slow.fault._take_back(slow.switch, slow.entry)
    assert slow.fault._failed_end(slow.switch, slow.entry, {}) == (True, []) and not cuts
    beside[:] = [{**held, "last": {}}]
    slow.fault._take_back(slow.switch, slow.entry)
    assert cuts
