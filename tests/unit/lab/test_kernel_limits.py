# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""More nodes than Linux has inotify instances or neighbours for are refused before any is made."""

from __future__ import annotations

import os

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.lab import kernel_limits as limits
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError


def test_as_many_as_there_is_room_for():
    assert limits.lack_of_watches(3, 107, 128) is None
    assert limits.lack_of_watches(4, 107, 128) == (
        "node_count: given 4 more nodes to boot; allowed: 3, as this machine lets root have 128 inotify "
        "instances, of which 107 are in use. For more: sysctl fs.inotify.max_user_instances=135"
    )


def test_none_are_left():
    assert "allowed: 0," in limits.lack_of_watches(1, 130, 128)


def test_no_more_hosts_than_the_kernel_remembers_neighbours_of_all():
    """Each of 31 hosts knows the 30 others and the gateway, which knows each of them."""
    assert limits.lack_of_neighbours(31, 1024) is None
    assert limits.lack_of_neighbours(41, 1024) == (
        "node_count: given 41 hosts, observers among them; allowed: 31, as this machine's kernel remembers "
        "1024 neighbours of all its network namespaces together. For more: "
        "sysctl net.ipv4.neigh.default.gc_thresh3=1722"
    )


def kernel(folder, watches, neighbours):
    for path, value in ((limits.WATCHES, watches), (limits.NEIGHBOURS, neighbours)):
        (folder / path).parent.mkdir(parents=True)
        (folder / path).write_text(f"{value}\n")
    return folder


def test_only_roots_own_instances_count(tmp_path):
    for pid, targets in {
        "1": ["anon_inode:inotify", "anon_inode:[eventpoll]"],
        "7": ["anon_inode:inotify"],
    }.items():
        for number, target in enumerate(targets):
            (tmp_path / pid / "fd").mkdir(parents=True, exist_ok=True)
            (tmp_path / pid / "fd" / str(number)).symlink_to(target)
    own = 2 if os.getuid() == 0 else 0
    assert limits.watches_in_use(tmp_path) == own
    with pytest.raises(LabError, match=f"of which {own} are in use"):
        limits.require(3, 2, kernel(tmp_path, 8, 1024))


def test_both_are_asked(tmp_path):
    limits.require(31, 1, kernel(tmp_path / "enough", 128, 1024))
    with pytest.raises(LabError, match=r"gc_thresh3=1056"):
        limits.require(32, 1, kernel(tmp_path / "few", 128, 1024))
