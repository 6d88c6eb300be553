# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from ansible_collections.foundation.testbed.plugins.module_utils.lab.kernel import in_order


def test_modules_come_after_those_that_they_need():
    """The first process inserts them one by one, and nothing resolves what they need."""
    dependencies = "k/net.ko: k/virtio.ko k/ring.ko\nk/virtio.ko: k/ring.ko\nk/ring.ko:\nk/9p-fs.ko: k/net.ko"
    wanted = ("9p_fs", "virtio")
    assert in_order(dependencies, wanted) == ["k/ring.ko", "k/virtio.ko", "k/net.ko", "k/9p-fs.ko"]
