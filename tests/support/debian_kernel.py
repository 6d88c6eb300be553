# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run a command on this machine's files under Debian's own kernel, in an emulated machine (`COMMAND...`).

For what this kernel lacks, as netem. Needs root, Debian, qemu-system-x86, and images of nodes: make a
lab once before. What the command writes is lost. The emulated machine has no network, one processor, and a
clock that counts its own instructions (a thousand million a second): what is measured there is as on a slow
machine that nothing else disturbs, however long it takes.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from ansible_collections.foundation.testbed.plugins.module_utils.lab import kernel

ROOT = Path(__file__).resolve().parents[2]
INIT = Path(__file__).with_name("debian_kernel_init.sh")
IMAGES = Path("/var/lib/foundation-testbed/images")
CACHE = Path("/var/cache/foundation-testbed-kernel")
# What is needed before the files are there; all others are loaded when they are asked for.
EARLY_MODULES = (
    "virtio_pci", "virtio_blk", "virtio_console", "9pnet_virtio", "9p", "crc32c_generic", "ext4", "overlay",
    "loop", "bridge", "veth",
)  # fmt: skip
MEMORY_MIB, DISK = 2560, "6G"


def make_initrd(debian: Path, job: str, work: Path) -> Path:
    """Pack what runs first: the script, the early modules, and the job."""
    top, packed = work / "initrd", work / "initrd.cpio"
    kernel.lay_out(debian, top, INIT.read_text(encoding="utf-8"), EARLY_MODULES)
    for name in ("lower", "scratch"):
        (top / name).mkdir()
    (top / "job").write_text(job, encoding="utf-8")
    (top / "kernel").write_text(str(debian), encoding="utf-8")
    kernel.pack(debian, top, packed)
    return packed


def machine(debian: Path, initrd: Path, disk: Path) -> list[str]:
    """Return the command line of the emulated machine."""
    said = "console=ttyS0 quiet panic=1 mitigations=off no_timer_check net.ifnames=0"
    return [
        *("nice", "-n", "19", "qemu-system-x86_64", "-nodefaults", "-display", "none", "-no-reboot"),
        *("-accel", "tcg,thread=single,tb-size=512", "-icount", "shift=0", "-rtc", "clock=vm"),
        *("-machine", "pc", "-cpu", "max", "-smp", "1", "-m", str(MEMORY_MIB)),
        *("-kernel", str(kernel.vmlinuz(debian)), "-initrd", str(initrd), "-append", said),
        *("-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap"),
        *("-device", "virtio-9p-pci,fsdev=root,mount_tag=root"),
        *("-drive", f"file={disk},format=raw,if=virtio,cache=unsafe"),
        *("-serial", f"file:{disk.with_name('console')}"),
        *("-chardev", "stdio,id=out,signal=on", "-device", "virtio-serial-pci"),
        *("-device", "virtconsole,chardev=out"),
    ]


def run(command: list[str]) -> int:
    """Run a command; prints what it says, returns its exit status."""
    kept = ("PATH", "HOME", "LANG", "PYTHONPATH", "ANSIBLE_COLLECTIONS_PATH")
    given = [f"export {name}={shlex.quote(os.environ[name])}" for name in kept if name in os.environ]
    job = "\n".join([*given, f"cd {shlex.quote(str(ROOT))}", shlex.join(command), ""])
    with tempfile.TemporaryDirectory(prefix="debian-kernel-", dir="/var/tmp") as work:
        debian, disk = kernel.fetch("linux-image-amd64", CACHE), Path(work) / "disk"
        make_disk = ["mke2fs", "-q", "-t", "ext4", "-d", str(IMAGES), str(disk), DISK]
        subprocess.run(make_disk, check=True, stdout=subprocess.DEVNULL)
        started = machine(debian, make_initrd(debian, job, Path(work)), disk)
        last = ""
        with subprocess.Popen(
            started, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        ) as emulated:
            for line in emulated.stdout or ():
                print(line.rstrip(), flush=True)
                last = line.strip() or last
        if last.startswith("exit status "):
            return int(last.split()[-1])
        console = disk.with_name("console").read_text(encoding="utf-8", errors="replace")
        print(f"the emulated machine ended by itself:\n{console[-3000:]}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
