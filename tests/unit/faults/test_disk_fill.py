# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filling a disk: how much is missing, which file system a path is on, and what is removed."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import (
    ClusterView,
    Context,
    Targets,
)
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import read_parameters
from ansible_collections.foundation.testbed.plugins.module_utils.faults import disk_fill
from ansible_collections.foundation.testbed.plugins.module_utils.faults.disk_fill import FAULT, Usage
from hypothesis import given
from hypothesis import strategies as st

MOUNTS = """\
overlay / overlay rw,relatime 0 0
tmpfs /tmp tmpfs rw 0 0
/dev/sdb /srv/my\\040data ext4 ro,relatime 0 0
overlay /var/lib/etcd overlay ro,relatime 0 0
"""
DEVICES = {"/tmp": 2, "/srv/my data": 3}


def device(path):
    return next((DEVICES[str(top)] for top in (path, *path.parents) if str(top) in DEVICES), 1)


@given(st.integers(1, 2**50), st.integers(0, 2**50), st.floats(0.1, 100))
def test_what_is_missing_brings_the_usage_to_the_target(used, free, target):
    missing = Usage(used + free, used, free).missing(target)
    after = Usage(used + free, used + missing, free - missing)
    assert after.percent == pytest.approx(target, abs=100 / (used + free) + 1e-6)
    assert missing <= free


def test_roots_reserve_is_neither_used_nor_free():
    stat = os.statvfs_result((4096, 4096, 100, 50, 40, 10, 5, 5, 0, 255))
    assert disk_fill.usage_of(stat, "space") == Usage(100 * 4096, 50 * 4096, 40 * 4096)
    assert disk_fill.usage_of(stat, "inodes") == Usage(10, 5, 5)


@pytest.mark.parametrize(
    ("path", "place", "kind", "writable"),
    [
        ("/etc", "/", "overlay", True),
        ("/tmp/x", "/tmp", "tmpfs", True),
        ("/srv/my data/deep", "/srv/my data", "ext4", False),
        # A bind mount is the same file system: what is beneath it may be written.
        ("/var/lib/etcd/member", "/", "overlay", True),
    ],
)
def test_a_path_lies_on_the_file_system_that_holds_it(path, place, kind, writable):
    mounts = disk_fill.parse_mounts(MOUNTS)
    assert disk_fill.mount_of(Path(path), mounts, device) == (Path(place), kind, writable)


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_folder_of_ours_is_one_name_with_our_prefix(run, fault):
    name = disk_fill.folder_name(run, fault)
    assert name.startswith(disk_fill.PREFIX)
    assert "/" not in name


def test_only_folders_of_ours_are_removed(tmp_path):
    ours, foreign = tmp_path / disk_fill.folder_name("r", "f"), tmp_path / "data"
    for folder in (ours, foreign):
        folder.mkdir()
        (folder / "space").touch()
    for folder in (ours, foreign, ours):  # twice: a fault that is gone is gone
        FAULT.revert({"trace": str(folder)})
    assert not ours.exists()
    assert (foreign / "space").exists()


def test_a_link_in_place_of_our_folder_leads_nowhere(tmp_path):
    (tmp_path / "data").mkdir()
    link = tmp_path / disk_fill.folder_name("r", "f")
    link.symlink_to(tmp_path / "data")
    FAULT.revert({"trace": str(link)})
    assert (tmp_path / "data").is_dir()


def test_the_data_of_a_nodes_own_system_is_the_default():
    cluster = ClusterView(
        "t", {"n1": "10.0.0.1", "n2": "10.0.0.2"}, {}, {"n1": ["etcd"]}, {}, data_paths={"etcd": ["/data"]}
    )
    params, problems = read_parameters(FAULT.parameters, {"target": 90})
    assert not problems
    programs = FAULT.plan(params, Targets(["n1", "n2"], cluster, random.Random(1)))
    assert programs == {
        "n1": {"resource": "space", "target": 90.0, "path": "/data"},
        "n2": {"resource": "space", "target": 90.0, "path": "/var/lib"},
    }


@pytest.mark.parametrize(
    ("given_", "key"),
    [({}, "target"), ({"target": 0}, "target"), ({"target": 101}, "target"),
     ({"target": 5, "resource": "inode"}, "resource"), ({"target": 5, "path": "data"}, "path"),
     ({"target": 5, "size": 1}, "size")],
)  # fmt: skip
def test_a_mistake_is_one_line_that_names_the_key(given_, key):
    _, problems = read_parameters(FAULT.parameters, given_)
    assert [problem.split(":")[0] for problem in problems] == [key]


@pytest.fixture
def fault(tmp_path, monkeypatch):
    """A fault on a file system that is empty but for what the fault itself writes, 1 MiB in all."""
    monkeypatch.setattr(disk_fill, "mount_at", lambda path: (tmp_path, "ext4", True))

    def usage(self):
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        used = len(files) if self.resource == "inodes" else sum(path.stat().st_size for path in files)
        total = 100 if self.resource == "inodes" else 2**20
        return Usage(total, used, total - used)

    monkeypatch.setattr(FAULT, "_usage", usage)

    def made(resource, target):
        program = {"resource": resource, "target": target, "path": str(tmp_path)}
        return FAULT(Context("run", "f", program, 0, 0, True))

    return made


@pytest.mark.parametrize(("resource", "somebodys"), [("space", 300 * 2**10), ("inodes", 30)])
def test_it_makes_way_for_others_and_comes_back(fault, tmp_path, resource, somebodys):
    held = fault(resource, 60)
    held.apply()
    assert held.evidence()["percent"] == pytest.approx(60, abs=1)
    if resource == "space":
        (tmp_path / "somebodys").write_bytes(bytes(somebodys))
    else:
        for number in range(somebodys):
            (tmp_path / f"somebodys{number}").touch()
    held.observe()
    assert held.evidence()["percent"] == pytest.approx(60, abs=1)
    for path in tmp_path.glob("somebodys*"):
        path.unlink()
    held.observe()
    last = held.evidence()
    assert last["percent"] == pytest.approx(60, abs=1)
    assert last["present"] and last["effective"]
    held.revert(held.undo())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("resource", ["space", "inodes"])
def test_files_that_somebody_removes_are_missed(fault, tmp_path, resource):
    held = fault(resource, 60)
    held.apply()
    next(path for path in tmp_path.rglob("*") if path.is_file()).unlink()
    assert held.evidence()["present"] is False


@pytest.mark.parametrize(("resource", "others"), [("space", 700 * 2**10), ("inodes", 70)])
def test_what_others_have_filled_is_not_this_faults_doing(fault, tmp_path, resource, others):
    if resource == "space":
        (tmp_path / "somebodys").write_bytes(bytes(others))
    else:
        for number in range(others):
            (tmp_path / f"somebodys{number}").touch()
    held = fault(resource, 60)
    held.apply()
    held.observe()
    assert held.evidence()["percent"] >= 60
    assert held.evidence()["present"] and not held.evidence()["effective"]


@pytest.mark.parametrize(
    ("target", "ours", "words"),
    [(50, False, "target: given 50, but 60.0 percent of the"), (50, True, ""), (70, False, "")],
)
def test_a_target_that_is_exceeded_already_is_refused(monkeypatch, tmp_path, target, ours, words):
    monkeypatch.setattr(disk_fill, "mount_at", lambda path: (tmp_path, "ext4", True))
    monkeypatch.setattr(disk_fill, "usage_of", lambda stat, resource: Usage(100, 60, 40))
    monkeypatch.setattr(disk_fill.own_limits, "in_container", lambda: False)
    if ours:
        (tmp_path / disk_fill.folder_name("r", "other")).mkdir()
    for resource in ("space", "inodes"):
        reasons = FAULT.capable({"resource": resource, "target": target, "path": "/x"})
        assert len(reasons) == bool(words) and words in "".join(reasons)
