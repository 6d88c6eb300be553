# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pressure: what may be said, what is read from the kernel, how much is taken and given back."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.agent import own_limits
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import ClusterView, Targets
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import read_parameters
from ansible_collections.foundation.testbed.plugins.module_utils.faults import (
    _load,
    _press,
    pressure,
)
from hypothesis import given
from hypothesis import strategies as st

CLUSTER = ClusterView(
    testbed_id="t",
    nodes={"n1": "10.0.0.1", "n2": "10.0.0.2"},
    observers={},
    systems={"n1": ["etcd"]},
    workloads={},
    units={"etcd": ["etcd.service", "other.service"]},
    data_paths={"etcd": ["/data"]},
)


def wrong(**given_):
    params, problems = read_parameters(pressure.FAULT.parameters, given_)
    return problems or list(pressure.FAULT.problems(params))


def plan(*nodes, **given_):
    params, problems = read_parameters(pressure.FAULT.parameters, given_)
    assert not problems
    return pressure.FAULT.plan(params, Targets(nodes, CLUSTER, random.Random(0)))


def test_what_is_not_said_is_the_nodes_own():
    assert plan("n1", "n2", resource="io") == {
        "n1": {"resource": "io", "target": 100.0, "rate": 32 * 2**20, "path": "/data"},
        "n2": {"resource": "io", "target": 100.0, "rate": 32 * 2**20, "path": "/var/lib"},
    }
    assert plan("n1", resource="oom") == {"n1": {"resource": "oom", "unit": "etcd.service"}}
    assert plan("n2", resource="pids") == {"n2": {"resource": "pids", "left": 16}}
    assert plan("n2", resource="cpu", target="80", workers=2) == {
        "n2": {"resource": "cpu", "target": 80.0, "workers": 2}
    }
    with pytest.raises(ValueError, match=r"^unit: given none, and no system with units runs on n2"):
        plan("n2", resource="descriptors")


@pytest.mark.parametrize(
    ("given_", "key"),
    [({}, "resource"), ({"resource": "disk"}, "resource"), ({"resource": "memory"}, "target"),
     ({"resource": "memory", "target": 99}, "target"), ({"resource": "cpu", "left": 8}, "left"),
     ({"resource": "pids", "left": 3}, "left"), ({"resource": "oom", "target": 50}, "target"),
     ({"resource": "oom", "unit": "sshd"}, "unit"), ({"resource": "io", "rate": "fast"}, "rate"),
     ({"resource": "pids", "workers": 2}, "workers")],
)  # fmt: skip
def test_a_mistake_is_one_line_that_names_the_key(given_, key):
    assert [problem.split(":")[0] for problem in wrong(**given_)] == [key]


@pytest.mark.parametrize("resource", ["cpu", "io", "pids", "descriptors", "oom"])
def test_a_resource_alone_is_enough(resource):
    assert wrong(resource=resource) == []
    assert resource in pressure.PRESSES


MOUNTS = """\
tmpfs /sys/fs/cgroup tmpfs ro 0 0
cgroup /sys/fs/cgroup/memory cgroup ro,nosuid,memory 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0
"""


def test_groups_are_found_where_they_are_mounted():
    assert own_limits.parse_groups(MOUNTS) == {
        "memory": Path("/sys/fs/cgroup/memory"),
        "cpu": Path("/sys/fs/cgroup/cpu,cpuacct"),
        "cpuacct": Path("/sys/fs/cgroup/cpu,cpuacct"),
        "unified": Path("/sys/fs/cgroup/unified"),
    }


@pytest.mark.parametrize(
    ("text", "limit"),
    [("536870912\n", 536870912), ("max\n", None), ("9223372036854771712\n", None), (None, None), ("", None)],
)
def test_a_limit_that_is_none_is_told_from_one(text, limit):
    assert own_limits.limit_of(text) == limit


@pytest.mark.parametrize(
    ("quota", "period", "cpus"),
    [("150000", "100000\n", 1.5), ("-1\n", "100000", None), ("max", "100000", None), ("1", None, None)],
)
def test_a_quota_of_processors(quota, period, cpus):
    assert own_limits.quota_of(quota, period) == cpus


def test_a_key_is_a_whole_word():
    text = "inactive_file 5\ntotal_inactive_file 7\noom_kill_disable 0\noom_kill 3\n"
    assert own_limits.key_of(text, "inactive_file") == 5
    assert own_limits.key_of(text, "oom_kill") == 3
    assert own_limits.key_of("MemTotal:       24 kB", "MemTotal") == 24
    assert own_limits.key_of(None, "x") is None


@pytest.fixture
def node(tmp_path, monkeypatch):
    """A container whose groups are the files of a folder."""
    monkeypatch.setattr(own_limits, "in_container", lambda: True)
    monkeypatch.setattr(own_limits, "TOLD", tmp_path / "limits.json")
    monkeypatch.setattr(own_limits, "_groups", lambda: {"memory": tmp_path, "unified": tmp_path / "v2"})
    return tmp_path


def test_a_container_without_a_limit_has_none_and_refuses(node):
    (node / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert own_limits.memory_limit() is None
    assert own_limits.cpu_limit() is None
    assert own_limits.pids_limit() is None
    for press, program in (
        (_press.MemoryPress, {"target": 90}),
        (_press.CpuPress, {"target": 90}),
        (_press.PidsPress, {"left": 16}),
    ):
        assert "the host would be endangered" in press.capable(program)[-1]


def test_a_container_knows_what_its_provider_told_it(node):
    (node / "limits.json").write_text('{"memory_bytes": 1000, "cpus": 0.5, "pids": 64}')
    assert (own_limits.memory_limit(), own_limits.cpu_limit(), own_limits.pids_limit()) == (1000, 0.5, 64)


def test_cache_that_the_kernel_takes_back_is_not_used(node):
    (node / "memory.limit_in_bytes").write_text("1000\n")
    (node / "memory.usage_in_bytes").write_text("700\n")
    (node / "memory.stat").write_text("inactive_file 1\ntotal_inactive_file 200\n")
    assert own_limits.memory_limit() == 1000
    assert own_limits.memory_used() == 500


def test_a_container_sees_its_processor_time_in_either_kind_of_groups(node, monkeypatch):
    assert own_limits.cpu_used_s() is None
    reasons = _press.CpuPress.capable({"target": 50})
    assert any(reason.startswith("target: given 50, but this node cannot see") for reason in reasons)
    assert not any(reason.startswith("target") for reason in _press.CpuPress.capable({"target": 100}))
    monkeypatch.setattr(own_limits, "_groups", lambda: {"cpuacct": node, "unified": node / "v2"})
    (node / "cpuacct.usage").write_text(f"{5 * 2**62}\n")  # no limit, however large
    assert own_limits.cpu_used_s() == 5 * 2**62 / 1e9
    assert not any(reason.startswith("target") for reason in _press.CpuPress.capable({"target": 50}))


@pytest.mark.parametrize(
    ("own_s", "node_s", "effective"),
    [(5.0, 5.0, True), (1.0, 5.0, True), (1.0, 2.0, False), (10.0, 10.0, False), (0.0, 9.0, False)],
)
def test_too_much_load_of_ours_is_no_more_the_fault_than_too_little(monkeypatch, own_s, node_s, effective):
    """Asked for half of a processor, ten seconds long."""
    used = [100.0]
    monkeypatch.setattr(own_limits, "cpu_limit", lambda: 1.0)
    monkeypatch.setattr(own_limits, "cpu_used_s", lambda: used[0])
    monkeypatch.setattr(_load, "cpu_seconds", lambda pids: (own_s, 0.0))
    press = _press.CpuPress("r.f", {"target": 50}, left_s=20)
    press.measure_before()
    press.began_s = time.monotonic() - 10
    used[0] += node_s
    assert press.figures()["effective"] is effective


def test_only_a_disk_of_its_own_with_room_on_it_is_loaded(tmp_path, node, monkeypatch):
    """What is written by 256 workers is 4 GiB: of a container without a disk, the host's."""
    program = {"path": str(tmp_path), "workers": 256}
    monkeypatch.setattr(_press, "mount_at", lambda path: (Path("/"), "ext4", True))
    free = SimpleNamespace(free=256 * _load.FILE_BYTES)
    monkeypatch.setattr(_press.shutil, "disk_usage", lambda path: free)
    (reason,) = _press.IoPress.capable(program)
    assert "the host's own file system" in reason
    (node / "limits.json").write_text(json.dumps({"disk_bytes": 2**62}))
    assert _press.IoPress.capable(program) == []
    monkeypatch.setattr(_press, "mount_at", lambda path: (tmp_path, "ext4", True))
    (reason,) = _press.IoPress.capable(program)
    assert "the host's own file system" in reason
    monkeypatch.setattr(own_limits, "in_container", lambda: False)
    assert _press.IoPress.capable(program) == []
    free.free -= 1
    (reason,) = _press.IoPress.capable(program)
    assert reason.endswith("allowed: 4294967296 for 256 workers")


@given(st.integers(0, 64), st.lists(st.integers(0, 64), max_size=6))
def test_memory_is_held_at_the_target_while_others_breathe(target, others):
    memory = _load.Memory()
    memory.filling = b"."  # pages that nobody has written cost nothing
    for other in others:
        memory.to(target * _load.PIECE, lambda other=other: memory.held + other * _load.PIECE)
        assert memory.held == max(target - other, 0) * _load.PIECE


@given(st.floats(0.1, 4), st.lists(st.tuples(st.floats(0.001, 1), st.floats(0, 4)), max_size=50))
def test_a_pace_never_allows_more_than_the_target_and_a_moments_worth(processors, looks):
    pace, seconds, used = _load.Pace(processors), 0.0, 0.0
    for span, busy in looks:
        worked = 0.0 if pace.allowed_s < 0 else span * busy
        seconds, used = seconds + span, used + worked
        if not pace.ahead(span, worked):
            assert used <= processors * seconds + 1e-6


@given(st.floats(0.01, 1), st.integers(1, 2**30), st.floats(0, 100), st.integers(0, 2**34))
def test_a_disk_worker_keeps_to_its_share_and_its_rate(share, rate, busy_s, written):
    due = _load.due_s(busy_s, written, share, rate)
    assert busy_s <= due * share * (1 + 1e-9)
    assert written <= due * rate * (1 + 1e-9)


def test_a_process_is_found_by_its_mark_and_ended():
    assert _load.mark_in(b"A=1\0FOUNDATION_TESTBED_PRESSURE=r.f\0B=2") == "r.f"
    assert _load.mark_in(b"XFOUNDATION_TESTBED_PRESSURE=r.f") == ""
    name = f"test-{os.getpid()}"
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env={_load.MARK: name})
    try:
        deadline = time.monotonic() + 20
        while list(_load.marked(name)) != [child.pid]:  # its environment is not there at once
            assert time.monotonic() < deadline, "it is found"
            time.sleep(0.01)
        _load.kill_marked(name)
        assert child.wait(timeout=5) == -9
        assert _load.marked(name) == {}
        _load.kill_marked(name)
    finally:
        child.kill()
        child.communicate()


def test_a_child_says_what_it_holds_and_ends_with_its_lease(tmp_path):
    job = {"resource": "io", "workers": 2, "share": 1.0, "rate": 2**20, "path": str(tmp_path), "left_s": 3.0}
    child = _load.Child(f"test-io-{os.getpid()}", job)
    try:
        child.await_word()
        deadline = time.monotonic() + 20
        while not any(word["written"] for word in child.listen().values()):
            assert time.monotonic() < deadline, "a worker says what it has written"
            time.sleep(0.05)
        assert list(tmp_path.iterdir()) == []
        child.process.wait(timeout=20)
        assert not child.alive
    finally:
        child.end()


def test_a_child_that_cannot_says_why(tmp_path):
    job = {
        "resource": "io",
        "workers": 1,
        "share": 1.0,
        "rate": 1,
        "path": str(tmp_path / "none"),
        "left_s": 5,
    }
    child = _load.Child(f"test-none-{os.getpid()}", job)
    with pytest.raises(RuntimeError, match="No such file"):
        child.await_word()
    child.end()


class Child:
    """A child of the agent that notes its job, and dies when it is told to."""

    def __init__(self, name, job):
        self.job, self.alive, self.waited_s = job, True, None

    def await_word(self, timeout_s=_load.READY_S):
        self.waited_s = timeout_s

    def end(self):
        self.alive = False


def test_a_childs_lease_is_that_of_its_fault_whenever_it_begins(monkeypatch):
    """The fault is made as the agent starts, and pressed later; no wait reaches beyond its end."""
    now_s = [1000.0]
    kills = [0]
    monkeypatch.setattr(_press.time, "monotonic", lambda: now_s[0])
    monkeypatch.setattr(_load, "Child", Child)
    monkeypatch.setattr(own_limits, "memory_limit", lambda: 1000)
    monkeypatch.setattr(own_limits, "memory_used", lambda: 500)
    monkeypatch.setattr(own_limits, "oom_kills", lambda: kills[0])
    press = _press.MemoryPress("r.f", {"target": 90}, left_s=30.0)
    now_s[0] += 20
    press.apply()
    assert press.child.job["left_s"] == pytest.approx(10) and press.child.waited_s == _load.READY_S
    now_s[0] += 9
    press.child.alive, kills[0] = False, 1
    press.observe()
    assert press.begun_again == 1 and press.child.job["left_s"] == pytest.approx(1)
    assert press.child.waited_s is None
    now_s[0] += 5
    press.apply()
    assert press.child.job["left_s"] == press.child.waited_s == 0


@pytest.mark.parametrize(
    ("target", "ours", "words"),
    [(50, {}, "target: given 50, but 60.0 percent are used already"), (50, {7: "r.f"}, ""), (70, {}, "")],
)
def test_memory_that_is_used_already_is_refused(node, monkeypatch, target, ours, words):
    (node / "memory.limit_in_bytes").write_text("1000\n")
    (node / "memory.usage_in_bytes").write_text("600\n")
    monkeypatch.setattr(_load, "marked", lambda: ours)
    reasons = _press.MemoryPress.capable({"target": target})
    assert len(reasons) == bool(words) and words in "".join(reasons)


def test_memory_of_which_none_is_ours_shows_nothing(node):
    (node / "memory.limit_in_bytes").write_text("1000\n")
    (node / "memory.usage_in_bytes").write_text("600\n")
    press = _press.MemoryPress("r.f", {"target": 50}, 5.0)
    for held, effective in ((0, False), (20, True), (0, True)):  # another of ours may have taken over
        press.child = Mock(alive=True, listen=lambda held=held: {0: {"held": held}})
        assert press.evidence()["effective"] is effective
