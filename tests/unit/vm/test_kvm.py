# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""KVM is believed where a guest has booted with it, and asked once in a boot of this machine."""

from __future__ import annotations

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.lab import kvm


@pytest.fixture
def tried(monkeypatch, tmp_path):
    """A kernel, and a machine on which booting it fails; what was tried."""
    found = []
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot" / "vmlinuz-1").touch()
    boot_id = tmp_path / "boot_id"
    boot_id.write_text("first\n")
    monkeypatch.setattr(kvm, "BOOT_ID", boot_id)
    monkeypatch.setattr(kvm, "makes_guests", lambda _device: True)
    monkeypatch.setattr(kvm, "boots", lambda *how: found.append(how) or False)
    return found


def test_a_device_that_boots_nothing_is_not_believed(tried, tmp_path):
    assert not kvm.works(tmp_path)
    assert not kvm.works(tmp_path)
    assert [how[0] for how in tried] == ["kvm"], "the second call knows the answer"


def test_after_another_boot_of_this_machine_it_is_tried_again(tried, tmp_path, monkeypatch):
    kvm.works(tmp_path)
    kvm.BOOT_ID.write_text("second\n")
    monkeypatch.setattr(kvm, "boots", lambda *_how: True)
    assert kvm.works(tmp_path)


def test_an_answer_that_was_cut_short_is_no_answer(tried, tmp_path):
    (tmp_path / "kvm.json").write_text('{"boot_id": "fir')
    kvm.works(tmp_path)
    assert len(tried) == 1


def test_without_the_device_nothing_is_tried(tmp_path):
    assert not kvm.makes_guests(tmp_path / "kvm")
    (tmp_path / "kvm").touch()
    assert not kvm.makes_guests(tmp_path / "kvm"), "a file of that name is no device"


def test_without_qemu_the_reason_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(kvm.LabError, match="'qemu-system-x86_64' is not installed"):
        kvm.boots("tcg", tmp_path / "vmlinuz", 1)
