# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a machine with an image of the user's own is told, and which images are none."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

import pytest
import yaml
from ansible_collections.foundation.testbed.plugins.module_utils.lab import boot_image, seed
from ansible_collections.foundation.testbed.plugins.module_utils.lab.boot_image import ImageBoot, OwnImage
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError
from ansible_collections.foundation.testbed.plugins.module_utils.lab.domain import Domain
from hypothesis import given
from hypothesis import strategies as st

TEXT = st.text(st.characters(codec="utf-8"), max_size=50)
IMAGE = OwnImage(Path("/srv/debian.qcow2"), "qcow2", 3 * 2**30, "/srv/debian.qcow2@1@2")


@given(TEXT, st.text(st.characters(codec="ascii"), max_size=50))
def test_cloud_init_reads_just_the_texts_that_were_written(text, key):
    """Whatever a file or a key holds comes back out of the YAML as it went in."""
    told = seed.user_data("n1", {"etc/x": (text, 0o640)}, "#!/bin/sh\n", key, (key, "ssh-ed25519 A"))
    assert told.startswith("#cloud-config\n")
    read = yaml.safe_load(told)
    (written,) = [each for each in read["write_files"] if each["path"] == "/etc/x"]
    assert (base64.b64decode(written["content"]).decode(), written["permissions"]) == (text, "0640")
    assert read["ssh_keys"] == {"ed25519_private": key, "ed25519_public": "ssh-ed25519 A"}
    assert read["ssh_authorized_keys"] == key.split("\n")


def test_its_name_and_address_are_the_nodes():
    assert yaml.safe_load(seed.meta_data("tb-vm-n1", "n1")) == {
        "instance-id": "tb-vm-n1", "local-hostname": "n1",
    }  # fmt: skip
    config = yaml.safe_load(seed.network_config("52:54:00:1:2:3", "10.1.1.11/24", "10.1.1.1", ["9.9.9.9"]))
    assert config["ethernets"]["testbed"] == {
        "match": {"macaddress": "52:54:00:1:2:3"}, "addresses": ["10.1.1.11/24"], "dhcp4": False,
        "routes": [{"to": "0.0.0.0/0", "via": "10.1.1.1"}], "nameservers": {"addresses": ["9.9.9.9"]},
    }  # fmt: skip


@given(st.lists(st.text("abc-;$`' ", min_size=1), max_size=4))
def test_no_package_breaks_out_of_the_script(names):
    script = seed.first_boot(names, ["fstrim.timer"])
    checked = subprocess.run(["sh", "-n"], input=script, text=True, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_a_machine_boots_its_own_loader_and_sees_the_seed():
    xml = Domain("tb-vm-n1", 2**29, 1.0, "/lab/d", "br0", "/lab/c", kvm=False, seed="/lab/seed.iso").xml()
    assert '<boot dev="hd" />' in xml
    assert "<kernel>" not in xml
    assert "/lab/seed.iso" in xml


def test_other_packages_or_name_servers_make_it_anew():
    boots = [
        ImageBoot("vm", IMAGE, {"n1": packages}, nameservers)
        for packages, nameservers in ((["etcd-server"], []), ([], []), ([], ["9.9.9.9"]))
    ]
    assert len({boot.images("n1") for boot in boots}) == 3


def test_a_disk_without_room_for_the_image_is_refused():
    assert IMAGE.disk_bytes(None, "n1") == 3 * 2**30
    assert IMAGE.disk_bytes(4 * 2**30, "n1") == 4 * 2**30
    with pytest.raises(LabError, match="disk of n1: given 2048M; allowed: at least 3072M"):
        IMAGE.disk_bytes(2 * 2**30, "n1")


def test_what_is_no_image_is_refused(tmp_path, monkeypatch):
    with pytest.raises(LabError, match=r"vm\.image: given .*, which is no file; allowed: a disk image"):
        OwnImage.at(tmp_path / "nothing")
    there = tmp_path / "there"
    there.touch()
    module = "ansible_collections.foundation.testbed.plugins.module_utils.lab.boot_image.run"
    monkeypatch.setattr(module, lambda *_args, **_kw: json.dumps({"format": "vdi", "virtual-size": 1}))
    with pytest.raises(LabError, match="in the format vdi; allowed"):
        OwnImage.at(there)


def test_one_login_waits_for_the_end_of_the_first_boot(tmp_path, monkeypatch):
    """Logins one after the other kept an emulated machine from its own boot."""
    outcome, logins = tmp_path / "first-boot", tmp_path / "logins"
    monkeypatch.setattr(seed, "OUTCOME", str(outcome))
    boot = ImageBoot("vm", IMAGE, {})
    login = ["sh", "-c", f'echo >> {logins}; (sleep 0.5; echo "$0" > {outcome}) & eval "$1"']
    assert boot.unready([*login, "ok"]) is None
    with pytest.raises(LabError, match="no such package"):
        outcome.unlink()
        boot.unready([*login, "packages cannot be installed: x: no such package"])
    assert logins.read_text(encoding="utf-8").count("\n") == 2
    outcome.unlink()
    monkeypatch.setattr(boot_image, "WAIT_THERE_S", 0)
    assert "not through" in str(boot.unready(["sh", "-c"]))
