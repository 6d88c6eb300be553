# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Machines that boot a kernel on a disk made here; who they are comes with what runs before the disk."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.lab import kernel
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import run
from ansible_collections.foundation.testbed.plugins.module_utils.lab.node import NodeSpec, identity_files
from ansible_collections.foundation.testbed.plugins.module_utils.lab.vm_image import DEFAULT_BYTES, VmImages

DISK, INITRD = "disk.qcow2", "initrd.cpio"


class KernelBoot:
    """Boots Debian's kernel from the image cache."""

    def __init__(self, state_dir: Path):
        self.images = VmImages(state_dir)

    def parts(self, spec: NodeSpec, folder: Path) -> dict[str, Any]:
        """Return what of a `Domain` says how it boots."""
        files = self.images.boot_files(spec.images, spec.disk_bytes or DEFAULT_BYTES)
        return {"kernel": str(files.kernel), "initrd": str(folder / INITRD)}

    def create(
        self, spec: NodeSpec, folder: Path, authorized_key: str, host_key: Path, hosts: dict[str, str]
    ) -> None:
        """Make the files of a new machine in its folder. Raises LabError."""
        files = self.images.boot_files(spec.images, spec.disk_bytes or DEFAULT_BYTES)
        overlay = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(files.base)]
        run([*overlay, str(folder / DISK)])
        with tempfile.TemporaryDirectory() as work:
            top, packed = Path(work) / "top", Path(work) / "identity.cpio"
            _lay_out(top, spec, authorized_key, host_key, hosts)
            kernel.pack(files.initrd.parent, top, packed)
            # the kernel unpacks archives that follow each other one over the other
            whole = folder / INITRD
            whole.touch(mode=0o600)
            whole.write_bytes(files.initrd.read_bytes() + packed.read_bytes())

    def unready(self, ssh: Sequence[str]) -> Optional[str]:
        """Say what a machine that answers ssh still waits for: nothing."""
        return None


def _lay_out(top: Path, spec: NodeSpec, authorized_key: str, host_key: Path, hosts: dict[str, str]) -> None:
    """Lay out what makes this machine this machine, for its first boot, and its address, for each."""
    texts = {f"identity/{name}": told for name, told in identity_files(spec, authorized_key, hosts).items()}
    for suffix, mode in (("", 0o600), (".pub", 0o644)):
        text = host_key.with_name(host_key.name + suffix).read_text(encoding="utf-8")
        texts[f"identity/etc/ssh/ssh_host_ed25519_key{suffix}"] = (text, mode)
    address = f"ADDRESS={spec.address}/{spec.prefix_length}\nGATEWAY={spec.gateway}\n"
    texts["address"] = (address, 0o644)
    for name, (text, mode) in texts.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
    for private in ("identity/root", "identity/root/.ssh"):
        (top / private).chmod(0o700)
