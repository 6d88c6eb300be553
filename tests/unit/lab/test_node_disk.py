# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The disk of a node: made once, of the size asked for, and nothing but a folder where none was asked for."""

from __future__ import annotations

import shutil

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.lab import cgroup, disk, node
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths


def test_a_node_without_a_size_has_a_folder(tmp_path):
    paths = LabPaths(tmp_path, "t").node("n1")
    disk.make(paths, None)
    disk.mount(paths)
    disk.unmount(paths)
    assert paths.disk.is_dir()
    assert not paths.disk_image.exists()
    assert paths.upper.parent == paths.work.parent == paths.disk


@pytest.mark.skipif(shutil.which("mkfs.ext4") is None, reason="mkfs.ext4 is not installed")
def test_a_disk_is_made_once_and_takes_no_room_before_it_is_used(tmp_path):
    paths = LabPaths(tmp_path, "t").node("n1")
    disk.make(paths, 256 * 2**20)
    made = paths.disk_image.stat()
    assert made.st_size == 256 * 2**20
    assert made.st_blocks * 512 < 8 * 2**20
    disk.make(paths, 512 * 2**20)
    assert paths.disk_image.stat() == made


def test_another_size_is_another_node():
    def of(size):
        return node.NodeSpec("n1", "10.0.0.11", 24, "10.0.0.1", cgroup.Limits(1, 1, 1), ("/a",), size)

    assert of(2**30).identity() != of(2**31).identity() != of(None).identity()
