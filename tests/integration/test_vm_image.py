# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Machines that boot a cloud image of the user's own, by its boot loader and cloud-init."""

from __future__ import annotations

import sys
import time

import pytest
from support import HERE, ROOT, Lab, wait_until
from test_vm import MACHINES, nothing_left, traces

sys.path.insert(0, str(ROOT / "tests" / "support"))
import cloud_image

pytestmark = pytest.mark.lab

# What the role observer needs, and only an observer.
OBSERVERS = ("prometheus",)


@pytest.fixture
def described(tmp_path):
    """An inventory of machines with an image that has these packages; nothing is left at the end."""

    def lab_of(*packages: str) -> Lab:
        image = cloud_image.cached(*packages)
        text = (HERE / "inventory_vm" / "cluster.yml").read_text(encoding="utf-8")
        text = text.replace("ivm", "iimage").replace("10.77.28", "10.77.29")
        (tmp_path / "cluster.yml").write_text(f"{text}vm:\n  image: {image}\n", encoding="utf-8")
        return Lab(tmp_path, tmp_path)

    before = traces()
    yield lab_of
    if (tmp_path / "cluster.yml").exists():
        outcome = Lab(tmp_path, tmp_path).playbook("destroy")
        assert outcome.status == 0, outcome.output[-3000:]
    wait_until(lambda: nothing_left(before), 15, "the machine as it was before")


def test_machines_boot_an_image_of_the_users_own(described):
    lab = described(*OBSERVERS)
    begun = time.monotonic()
    outcome = lab.playbook(MACHINES)
    assert outcome.status == 0, outcome.output[-4000:]
    print(f"three machines with an image of their own, from nothing to ssh: {time.monotonic() - begun:.1f} s")
    for name in ("n1", "n2", "observer1"):
        assert lab.on(name, "hostname").strip() == name
        assert lab.variables(name)["ansible_host"] in lab.on(name, "ip -4 -o address show")
        assert "n2" in lab.on(name, "getent hosts n2")
        assert lab.on(name, "ls /etc/ssh/ssh_host_*_key").split() == ["/etc/ssh/ssh_host_ed25519_key"]
    again = lab.playbook(MACHINES)
    assert (again.status, again.changed()) == (0, 0), again.output[-3000:]


def test_packages_that_cannot_be_installed_are_named(described):
    """The lab's own bridge leads to no package source: what the image lacks stays missing."""
    outcome = described().playbook(MACHINES)
    words = " ".join(outcome.output.split())
    assert outcome.status == 2
    assert "observer1: packages cannot be installed: prometheus" in words, outcome.output[-3000:]
