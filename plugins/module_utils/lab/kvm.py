# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether this machine's processor runs guests itself: asked by booting one, as the device alone may lie."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
from pathlib import Path

from ansible_collections.foundation.testbed.plugins.module_utils.lab import kernel
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError

DEVICE = Path("/dev/kvm")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# A processor that runs the kernel itself has it panic, for want of a disk, within two.
BOOTS_S = 15.0
_KVM_CREATE_VM = 0xAE01


def makes_guests(device: Path = DEVICE) -> bool:
    """Whether the device makes an empty guest."""
    try:
        with device.open("rb+", buffering=0) as kvm:
            os.close(fcntl.ioctl(kvm, _KVM_CREATE_VM, 0))
    except OSError:
        return False
    return True


def works(debian: Path, device: Path = DEVICE) -> bool:
    """Whether a guest with this kernel, a folder of `kernel.fetch`, runs; tried once in a host's boot."""
    if not makes_guests(device):
        return False
    boot_id, answer = BOOT_ID.read_text(encoding="utf-8").strip(), debian / "kvm.json"
    with contextlib.suppress(OSError, ValueError, KeyError):
        told = json.loads(answer.read_text(encoding="utf-8"))
        if told["boot_id"] == boot_id:
            return bool(told["works"])
    found = boots("kvm", kernel.vmlinuz(debian), BOOTS_S)
    answer.write_text(json.dumps({"boot_id": boot_id, "works": found}), encoding="utf-8")
    return found


def boots(accelerator: str, vmlinuz: Path, timeout_s: float) -> bool:
    """Whether a kernel gets so far that it misses its disk, panics, and ends its machine. Raises LabError."""
    command = [
        *("qemu-system-x86_64", "-accel", accelerator, "-cpu", "max", "-machine", "pc", "-m", "256"),
        *("-display", "none", "-nodefaults", "-serial", "stdio", "-no-reboot"),
        *("-kernel", str(vmlinuz), "-append", "console=ttyS0 panic=-1"),
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, check=False, timeout=timeout_s, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        raise LabError("the command 'qemu-system-x86_64' is not installed") from None
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0 and b"Kernel panic" in done.stdout
