# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Disks that virtual machines boot from: the root file systems of containers, and Debian's kernel."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.lab import kernel, kvm
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import run

# Raise this when the steps below change what they leave on the disk.
RECIPE_VERSION = 2

KERNEL_PACKAGE = "linux-image-cloud-amd64"
DEFAULT_BYTES = 2 * 2**30
EARLY_MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "crc32c_generic", "ext4")

# First process of a machine: its disk, its address, at its first boot its identity, then systemd. Text,
# as Ansible sends Python alone to where modules run.
INIT = r"""#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t devtmpfs devtmpfs /dev
for module in /modules/*; do $b insmod "$module"; done
while [ ! -b /dev/vda ]; do $b sleep 0.05; done
$b mount -t ext4 /dev/vda /new || exec $b sh -c 'echo "the disk cannot be mounted"; sleep 2; poweroff -f'
. /address
$b ip link set eth0 up
$b ip address add "$ADDRESS" dev eth0
[ -z "$GATEWAY" ] || $b ip route add default via "$GATEWAY"
if [ ! -e /new/etc/foundation-testbed-identity ]; then
  $b cp -a /identity/. /new/
  $b touch /new/etc/foundation-testbed-identity
  $b sync
fi
$b umount /proc
$b mount --move /dev /new/dev
exec $b switch_root /new /sbin/init
"""

# Of no use to a system under test, and seconds each where the processor is emulated.
MASKED_UNITS = (
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "e2scrub_reap.service",
    "getty-static.service",
    "kmod-static-nodes.service",
    "modprobe@.service",
    "proc-sys-fs-binfmt_misc.automount",
    "serial-getty@.service",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "systemd-binfmt.service",
    "systemd-boot-system-token.service",
    "systemd-firstboot.service",
    "systemd-hwdb-update.service",
    "systemd-initctl.socket",
    "systemd-journal-catalog-update.service",
    "systemd-machine-id-commit.service",
    "systemd-networkd.service",
    "systemd-networkd.socket",
    "systemd-pcrphase-sysinit.service",
    "systemd-pcrphase.service",
    "systemd-pstore.service",
    "systemd-remount-fs.service",
    "systemd-repart.service",
    "systemd-sysusers.service",
    "systemd-tmpfiles-clean.timer",
    "systemd-update-done.service",
    "systemd-update-utmp-runlevel.service",
    "systemd-update-utmp.service",
)


@dataclass(frozen=True)
class BootFiles:
    """What a machine boots from: its disk's base, the kernel, and what runs before the disk is mounted."""

    base: Path
    kernel: Path
    initrd: Path


class VmImages:
    """Disks and kernels in the cache that containers' images are in."""

    def __init__(self, state_dir: Path):
        self.folder = state_dir / "images"
        self.kernels = self.folder / "kernels"

    def base(self, images: Sequence[str], size: int) -> Path:
        """Where the disk of so many bytes with these layers, the topmost first, is or will be."""
        recipe: dict[str, Any] = {
            "version": RECIPE_VERSION,
            "kernel": KERNEL_PACKAGE,
            "images": [Path(image).name for image in images],
            "bytes": size,
        }
        name = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]
        return self.folder / f"{name}.ext4"

    def missing(self, images: Sequence[str], size: int) -> bool:
        """Tell whether the disk has still to be made."""
        return not self.base(images, size).exists()

    def boot_files(self, images: Sequence[str], size: int) -> BootFiles:
        """Where everything is that a machine with such a disk boots from; it has to be made already."""
        base = self.base(images, size)
        debian = self.kernels / base.with_suffix(".kernel").read_text(encoding="utf-8")
        return BootFiles(base, kernel.vmlinuz(debian), debian / "initrd.cpio")

    def ensure(self, images: Sequence[str], size: int) -> bool:
        """Make the disk unless it is there; returns whether it was made. Raises LabError."""
        with self._locked():
            if not self.missing(images, size):
                return False
            for remains in self.folder.glob("*.making"):  # of a killed call
                remains.unlink()
            debian = kernel.fetch(KERNEL_PACKAGE, self.kernels)
            self._pack_initrd(debian)
            base = self.base(images, size)
            base.with_suffix(".kernel").write_text(debian.name, encoding="utf-8")
            self._make_disk(base, images, size, debian)
            return True

    def kvm_works(self, check_mode: bool = False) -> bool:
        """Whether this machine's processor runs guests with our kernel itself. Raises LabError."""
        if check_mode or not kvm.makes_guests():
            return kvm.makes_guests()
        with self._locked():
            return kvm.works(kernel.fetch(KERNEL_PACKAGE, self.kernels))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.kernels.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @staticmethod
    def _pack_initrd(debian: Path) -> None:
        packed = debian / "initrd.cpio"
        if packed.exists():
            return
        with tempfile.TemporaryDirectory() as folder:
            top = Path(folder) / "initrd"
            kernel.lay_out(debian, top, INIT, EARLY_MODULES)
            kernel.pack(debian, top, Path(folder) / packed.name)
            shutil.move(str(Path(folder) / packed.name), packed)

    @staticmethod
    def _make_disk(base: Path, images: Sequence[str], size: int, debian: Path) -> None:
        # removed by whoever builds an image next, should this be killed
        top, upper, work = (
            base.with_suffix(suffix) for suffix in (".mnt", ".upper.building", ".work.building")
        )
        making = base.with_suffix(".making")
        for folder in (top, upper, work):
            folder.mkdir()
        try:
            layers = f"lowerdir={':'.join(images)},upperdir={upper},workdir={work}"
            run(["mount", "-t", "overlay", "overlay", "-o", layers, str(top)])
            try:
                _customise(top, debian)
                run(
                    [
                        "mke2fs",
                        "-q",
                        "-t",
                        "ext4",
                        "-L",
                        "root",
                        "-d",
                        str(top),
                        str(making),
                        f"{size // 1024}k",
                    ]
                )
            finally:
                run(["umount", str(top)])
            making.rename(base)
        finally:
            top.rmdir()
            for folder in (upper, work):
                shutil.rmtree(folder)
            making.unlink(missing_ok=True)


def _customise(root: Path, debian: Path) -> None:
    """Give a container's root file system the kernel's modules, and nothing to do that a machine need not."""
    shutil.copytree(debian / "lib/modules", root / "usr/lib/modules", dirs_exist_ok=True, symlinks=True)
    # modprobe finds modules by indexes that busybox's depmod does not write
    run(["chroot", str(root), "depmod", kernel.release(debian)])
    units = root / "etc/systemd/system"
    for unit in MASKED_UNITS:
        link = units / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    (root / "etc/fstab").write_text("", encoding="utf-8")
