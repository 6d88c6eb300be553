# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""More nodes than Linux gives inotify instances to are refused before any is made."""

from __future__ import annotations

import os

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.lab import watches
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError


def test_as_many_as_there_is_room_for():
    assert watches.lack(3, 107, 128) is None
    assert watches.lack(4, 107, 128) == (
        "node_count: given 4 more nodes to boot; allowed: 3, as this machine lets root have 128 inotify "
        "instances, of which 107 are in use. For more: sysctl fs.inotify.max_user_instances=135"
    )


def test_none_are_left():
    assert "allowed: 0," in watches.lack(1, 130, 128)


def test_only_roots_own_instances_count(tmp_path):
    for pid, targets in {
        "1": ["anon_inode:inotify", "anon_inode:[eventpoll]"],
        "7": ["anon_inode:inotify"],
    }.items():
        for number, target in enumerate(targets):
            (tmp_path / pid / "fd").mkdir(parents=True, exist_ok=True)
            (tmp_path / pid / "fd" / str(number)).symlink_to(target)
    limit = tmp_path / "sys" / "fs" / "inotify" / "max_user_instances"
    limit.parent.mkdir(parents=True)
    limit.write_text("8\n")
    own = 2 if os.getuid() == 0 else 0
    assert watches.in_use(tmp_path) == own
    with pytest.raises(LabError, match=f"of which {own} are in use"):
        watches.require(2, tmp_path)
