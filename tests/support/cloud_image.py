# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A disk image as Debian's cloud images are, with cloud-init, a kernel and GRUB, made out of packages."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

# What a cloud image has; and what the nodes of the test need, as their network leads to no package source.
PACKAGES = (
    "ca-certificates",
    "cloud-init",
    "dbus",
    "ifupdown",
    "iproute2",
    "iputils-ping",
    "kmod",
    "linux-image-cloud-amd64",
    "netplan.io",
    "nftables",
    "openssh-server",
    "procps",
    "prometheus-node-exporter",
    "python3",
    "python3-apt",
    "stress-ng",
    "systemd-resolved",
    "systemd-sysv",
    "udev",
)
CACHE = Path("/var/cache/foundation-testbed-cloud")
SIZE_MIB, BEFORE_MIB = 2048, 1
MODULES = ("biosdisk", "part_msdos", "ext2", "linux", "normal", "configfile", "serial", "terminal", "echo")
GRUB_CFG = """set root=(hd0,msdos1)
linux /vmlinuz root=/dev/vda1 rw console=ttyS0 quiet
initrd /initrd.img
boot
"""
CLOUD_CFG = "datasource_list: [ NoCloud, None ]\nlocale: C.UTF-8\n"


def run(*argv: str, cwd: Path | None = None, stdin: str | None = None) -> str:
    """Standard output of a command."""
    return subprocess.run(argv, cwd=cwd, input=stdin, check=True, text=True, stdout=subprocess.PIPE).stdout


def cached(*packages: str) -> Path:
    """Return the image with these packages too, made unless it is there already."""
    recipe = hashlib.sha256(f"{Path(__file__).read_text()}{packages}".encode()).hexdigest()[:16]
    target = CACHE / f"{recipe}.qcow2"
    if not target.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        make(target.with_suffix(".making"), packages)
        target.with_suffix(".making").rename(target)
    return target


def make(target: Path, packages: tuple[str, ...] = ()) -> None:
    """Make the image, a qcow2 file; needs root, mmdebstrap, qemu-img and a package source."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        root, raw = work / "root", work / "disk.raw"
        options = work / "apt.conf"
        options.write_text(run("apt-config", "dump", "Acquire"), encoding="utf-8")
        wanted = ",".join((*PACKAGES, *packages))
        run(
            *("mmdebstrap", "--quiet", "--variant=minbase", "--mode=root", f"--aptopt={options}"),
            *(f"--include={wanted}", "bookworm", str(root), *_sources()),
        )
        (root / "etc/cloud/cloud.cfg.d/90_test.cfg").write_text(CLOUD_CFG, encoding="utf-8")
        (root / "etc/fstab").write_text("/dev/vda1 / ext4 defaults 0 1\n", encoding="utf-8")
        (root / "boot/grub").mkdir(exist_ok=True)
        (root / "boot/grub/grub.cfg").write_text(GRUB_CFG, encoding="utf-8")
        for name in ("etc/machine-id", "etc/hostname", "etc/resolv.conf"):
            (root / name).unlink(missing_ok=True)
            (root / name).touch()
        for key in (root / "etc/ssh").glob("ssh_host_*"):
            key.unlink()
        with raw.open("wb") as file:
            file.truncate(SIZE_MIB * 2**20)
        run("sfdisk", "--quiet", str(raw), stdin=f"start={BEFORE_MIB}MiB, type=83, bootable\n")
        blocks = f"{(SIZE_MIB - BEFORE_MIB) * 1024}k"
        run(
            "mke2fs",
            "-q",
            "-t",
            "ext4",
            "-E",
            f"offset={BEFORE_MIB * 2**20}",
            "-d",
            str(root),
            str(raw),
            blocks,
        )
        _grub(work, raw)
        run("qemu-img", "convert", "-O", "qcow2", str(raw), str(target))


def _grub(work: Path, raw: Path) -> None:
    """Put GRUB's first sector and its core where there is nothing, before the first partition."""
    packed = work / "grub"
    packed.mkdir()
    # apt's own user cannot write there, and says so
    run("apt-get", "download", "-qq", "grub-pc-bin", "grub-common", cwd=packed)
    for file in packed.glob("*.deb"):
        run("dpkg-deb", "--extract", str(file), str(packed))
    modules, core = packed / "usr/lib/grub/i386-pc", work / "core.img"
    run(
        *(str(packed / "usr/bin/grub-mkimage"), "-d", str(modules), "-O", "i386-pc", "-o", str(core)),
        *("-p", "(hd0,msdos1)/boot/grub", *MODULES),
    )
    with raw.open("r+b") as file:
        file.write((modules / "boot.img").read_bytes()[:440])
        file.seek(512)
        file.write(core.read_bytes())


def _sources() -> list[str]:
    found = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").iterdir()]
    return [str(path) for path in found if path.is_file() and "debian" in path.read_text(encoding="utf-8")]


if __name__ == "__main__":
    make(Path(sys.argv[1]), tuple(sys.argv[2:]))
