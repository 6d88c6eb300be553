# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A virtual machine as libvirt describes it. Pure."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Optional
from xml.etree import ElementTree as ET

# Without a processor of its own to run on, QEMU keeps what it has translated: without a limit up to a GiB.
TRANSLATED_MIB = 256


@dataclass(frozen=True)
class Domain:
    """One machine; `bridge` is a link of the hypervisor, `kvm` whether its processor runs the guest.

    It boots `kernel` and `initrd`, or, without them, its disk's own boot loader; cloud-init reads `seed`.
    """

    name: str
    memory_bytes: int
    cpus: float
    disk: str
    bridge: str
    console: str
    kvm: bool
    kernel: Optional[str] = None
    initrd: Optional[str] = None
    seed: Optional[str] = None

    def xml(self) -> str:
        """Return the definition."""
        top = ET.Element("domain", type="kvm" if self.kvm else "qemu")
        _texts(top, name=self.name, vcpu=str(math.ceil(self.cpus)))
        ET.SubElement(top, "memory", unit="KiB").text = str(self.memory_bytes // 1024)
        system = ET.SubElement(top, "os")
        ET.SubElement(system, "type", arch="x86_64", machine="pc").text = "hvm"
        if self.kernel is None or self.initrd is None:
            ET.SubElement(system, "boot", dev="hd")
        else:
            _texts(system, kernel=self.kernel, initrd=self.initrd, cmdline=_cmdline(self.kvm))
        features = ET.SubElement(top, "features")
        ET.SubElement(features, "acpi")
        if not self.kvm:
            tcg = ET.SubElement(features, "tcg")
            ET.SubElement(tcg, "tb-cache", unit="MiB").text = str(TRANSLATED_MIB)
        ET.SubElement(top, "cpu", mode="host-passthrough" if self.kvm else "maximum")
        ET.SubElement(top, "clock", offset="utc")
        _texts(top, on_poweroff="destroy", on_reboot="restart", on_crash="restart")
        self._devices(ET.SubElement(top, "devices"))
        ET.indent(top)
        return ET.tostring(top, encoding="unicode")

    def _devices(self, devices: ET.Element) -> None:
        _disk(devices, "vda", "qcow2", self.disk)
        if self.seed is not None:
            ET.SubElement(_disk(devices, "vdb", "raw", self.seed), "readonly")
        link = ET.SubElement(devices, "interface", type="bridge")
        ET.SubElement(link, "mac", address=mac_address(self.name))
        ET.SubElement(link, "source", bridge=self.bridge)
        ET.SubElement(link, "model", type="virtio")
        ET.SubElement(link, "rom", enabled="no")
        serial = ET.SubElement(devices, "serial", type="file")
        ET.SubElement(serial, "source", path=self.console, append="on")
        ET.SubElement(serial, "target", port="0")
        ET.SubElement(devices, "controller", type="usb", model="none")
        ET.SubElement(devices, "memballoon", model="none")


def domain_name(testbed_id: str, node: str) -> str:
    """Return what libvirt calls a node; as no id has a dot, no lab takes another's for its own."""
    return f"tb-{testbed_id}.{node}"


def mac_address(name: str) -> str:
    """Return an address of QEMU's own range that is the same for the same machine."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    return "52:54:00:" + ":".join(digest[i : i + 2] for i in (0, 2, 4))


def _cmdline(kvm: bool) -> str:
    """Kernel parameters; a machine that panics reboots after a second."""
    emulated = "" if kvm else " no_timer_check tsc=reliable"
    shown = "console=ttyS0 quiet systemd.show_status=0"
    return f"root=/dev/vda rw {shown} net.ifnames=0 mitigations=off panic=1{emulated}"


def _disk(devices: ET.Element, name: str, form: str, path: str) -> ET.Element:
    disk = ET.SubElement(devices, "disk", type="file", device="disk")
    ET.SubElement(disk, "driver", name="qemu", type=form, cache="writeback")
    ET.SubElement(disk, "source", file=path)
    ET.SubElement(disk, "target", dev=name, bus="virtio")
    return disk


def _texts(parent: ET.Element, **texts: str) -> None:
    for tag, text in texts.items():
        ET.SubElement(parent, tag).text = text
