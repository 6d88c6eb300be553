# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Nodes held by control groups of our own, on machines that something else than systemd runs."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.lab import cgroup, node
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths

LIMITS = cgroup.Limits(2**29, 1, 100)


@pytest.fixture
def unified(tmp_path, monkeypatch):
    """Return a mounted cgroup v2 hierarchy with every controller."""
    hierarchy = cgroup.Hierarchy(tmp_path / "cgroup", 2, frozenset(cgroup.CONTROLLERS))
    hierarchy.mount_point.mkdir()
    monkeypatch.setattr(cgroup, "_wanted_hierarchies", lambda: [hierarchy])
    monkeypatch.setattr(cgroup.NodeGroup, "set_limits", lambda self, limits: True)
    return hierarchy


@pytest.fixture
def held(unified, tmp_path, monkeypatch):
    """Return a node held by a group."""
    monkeypatch.setattr(node, "systemd_is_init", lambda: False)
    return node.Node(LabPaths(tmp_path, "t"), "n1")


def test_a_group_begins_without_the_groups_of_the_nodes_earlier_life(unified):
    """They hold controllers, and v2 takes no process beside such: a killed node could not start again."""
    group = cgroup.NodeGroup("t", "n1")
    group.create(LIMITS)
    (group.folders()[0] / "payload" / "init.scope").mkdir(parents=True)
    group.create(LIMITS)
    assert list(group.folders()[0].iterdir()) == []


def test_a_node_that_cannot_join_its_group_is_named(held, monkeypatch):
    """It was no LabError, so what the call had made stayed."""
    monkeypatch.setattr(held, "boot_command", lambda: ["true"])
    monkeypatch.setattr(held.group, "join", lambda: Path("/nonexistent").stat())
    held.paths.home.mkdir(parents=True)
    with pytest.raises(LabError, match="n1"):
        held.start(LIMITS)


def test_groups_that_end_while_they_are_counted_hold_nobody(tmp_path, monkeypatch):
    """A node that boots makes and removes groups all the time; the count raised and the call failed."""
    for folder, pids in (("payload", "7\n8\n"), ("payload/ended.service", "9\n")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "cgroup.procs").write_text(pids)
    scandir = os.scandir

    def ended(path="."):
        if "ended" in str(path):
            raise FileNotFoundError(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", ended)
    assert {7, 8} <= cgroup.pids_below(tmp_path) <= {7, 8, 9}


def test_a_process_that_ends_while_it_is_looked_at_has_no_network(held, monkeypatch):
    """The process was gone before nsenter saw it, and destroy failed."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    monkeypatch.setattr(held, "pids", lambda: {os.getpid(), ended.pid})
    assert held._let_network_die() is None


@pytest.mark.parametrize(
    ("links", "index"),
    [
        ([["lo"], ["lo", "host0"]], 70),
        ([["lo", "host0"], ["lo"]], 70),
        ([["lo"]], None),
        ([], None),
    ],
)
def test_the_network_that_dies_is_the_one_with_the_nodes_link(held, monkeypatch, links, index):
    """A service inside may have a network of its own, and a node that just began has no link yet."""
    spaces = {f"/fd/{i}": names for i, names in enumerate(links)}
    commands = []

    def run(argv, **_):
        commands.append(argv)
        names = spaces[argv[1].removeprefix("--net=")]
        return json.dumps([{"ifname": name, "link_index": 70} for name in names])

    monkeypatch.setattr(node, "run", run)
    monkeypatch.setattr(held, "_network_namespaces", lambda: iter(spaces), raising=False)
    assert held._let_network_die() == index
    assert sum("sysctl" in argv for argv in commands) == (index is not None)
