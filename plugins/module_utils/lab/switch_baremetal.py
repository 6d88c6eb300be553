# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Power of a host that exists: by its management controller, or by its own kernel where it has none."""

from __future__ import annotations

import contextlib
import subprocess
from typing import Any, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.lab.bmc import CONTROLLERS
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError, wait_until
from ansible_collections.foundation.testbed.plugins.module_utils.lab.node import answers_ssh

# A machine's firmware alone takes longer than a container's boot: every wait for one is so much longer.
PATIENCE = 10.0
# Seconds for a chassis to do what its controller was told, and for an ssh server to let us in.
POWER_S, SSH_S = 20.0, 10.0
BOOT_ID = "/proc/sys/kernel/random/boot_id"
# Said by a shell that outlives its connection, as the host will not be there to answer.
_LATER = "nohup sh -c 'sleep 0.2; {0}' > /dev/null 2>&1 &"
_SYSRQ = "echo 1 > /proc/sys/kernel/sysrq; echo {0} > /proc/sysrq-trigger"
PANIC = "echo 1 > /proc/sys/kernel/panic; " + _SYSRQ.format("c")
FILLED = 4096

Record = dict[str, Any]


class HostShell:
    """A root shell on a host, over ssh as the inventory says it."""

    def __init__(self, said: Record):
        self.address, self.port = str(said["address"]), int(said.get("port") or 22)
        self.command = [
            "ssh",
            "-p",
            str(self.port),
            *(("-i", str(said["key"])) if said.get("key") else ()),
            "-o",
            f"UserKnownHostsFile={said['known_hosts']}",
            *("-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "ControlPath=none"),
            *(
                "-o",
                f"ConnectTimeout={SSH_S:g}",
                "-o",
                "ServerAliveInterval=2",
                "-o",
                "ServerAliveCountMax=2",
            ),
            *(("-l", str(said["user"])) if said.get("user") else ()),
            self.address,
            *(("sudo", "-n") if said.get("become") else ()),
            "sh",
        ]

    def run(self, script: str) -> str:
        """Standard output of a script; raises LabError."""
        try:
            done = subprocess.run(
                self.command, input=script, capture_output=True, text=True, check=False, timeout=2 * SSH_S
            )
        except subprocess.TimeoutExpired:
            raise LabError(f"ssh to {self.address}: no end after {2 * SSH_S:g} s") from None
        if done.returncode != 0:
            raise LabError(f"ssh to {self.address}: {' '.join(done.stderr.split())}")
        return done.stdout


class SysrqSwitch:
    """A host whose own kernel is told to reset itself at once: no power switch, so it cannot be kept off."""

    def __init__(self, name: str, said: Record):
        self.name, self.patience = name, float(said.get("patience", PATIENCE))
        self.shell = HostShell(said["host"])

    def running(self) -> bool:
        """Say yes: nobody can switch it off, and nobody could switch it on."""
        return True

    def answers(self) -> bool:
        """Whether an ssh server greets at the host's address."""
        if self.shell.port == 22:
            return answers_ssh(self.shell.address)
        return self.boot_id() is not None

    def boot_id(self) -> Optional[str]:
        """Return what the host's own kernel says, or None while it does not answer."""
        with contextlib.suppress(LabError):
            return self.shell.run(f"cat {BOOT_ID}").strip() or None
        return None

    def note(self) -> Record:
        """Return nothing: a host keeps its own limits."""
        return {}

    def cut(self) -> int:
        """Have the kernel reset the machine at once, nothing synced, nothing unmounted."""
        self.shell.run(_LATER.format(_SYSRQ.format("b")))
        return 0

    def can_lose_unsynced(self) -> bool:
        """Whether what was in memory alone is lost: a reset keeps none of it."""
        return True

    def lose_unsynced(self) -> None:
        """Do nothing more."""

    def witness(self, name: str) -> HostWitness:
        """Return the two files on the host's disk."""
        return HostWitness(self.shell, name)

    def on(self) -> None:
        """Do nothing: a host that was reset boots by itself."""

    def reboot(self) -> None:
        """Tell the host's own systemd."""
        self.shell.run(_LATER.format("systemctl reboot"))

    def panic(self) -> None:
        """Have the host's kernel panic; it boots again a second later."""
        self.shell.run(_LATER.format(PANIC))

    def settle(self) -> None:
        """Do nothing: a host keeps its own time."""


class BmcSwitch(SysrqSwitch):
    """A host with a management controller (`said["bmc"]`), which has the power whatever the kernel does."""

    def __init__(self, name: str, said: Record):
        super().__init__(name, said)
        bmc = said["bmc"]
        self.controller = CONTROLLERS[bmc["switch"]](bmc)

    def running(self) -> bool:
        """Whether the machine has power."""
        return bool(self.controller.running())

    def cut(self) -> int:
        """Cut the power; returns once it is off."""
        self.controller.off()
        if not wait_until(lambda: not self.running(), POWER_S, 0.5):
            raise LabError(f"{self.name} still has power {POWER_S:g} s after it was cut")
        return 0

    def on(self) -> None:
        """Switch the power on; does nothing where it is on."""
        if not self.running():
            self.controller.on()


class HostWitness:
    """Two files that tell whether a power cut lost what was not fsynced, written and read over ssh."""

    def __init__(self, shell: HostShell, name: str):
        self.shell = shell
        self.synced, self.unsynced = (f"/var/lib/{name}.{kind}" for kind in ("synced", "unsynced"))

    def write(self) -> None:
        """Write both in one go, and have one of them fsynced with its name."""
        fill = f"head -c {FILLED} /dev/zero >"
        self.shell.run(f"set -e; {fill} {self.synced}; sync {self.synced} /var/lib; {fill} {self.unsynced}")

    def read(self) -> Optional[dict[str, bool]]:
        """Return what became of them, or None while the host does not answer."""
        asked = "; ".join(f"stat -c %s {path} 2>/dev/null || echo 0" for path in (self.synced, self.unsynced))
        with contextlib.suppress(LabError, ValueError):
            synced, unsynced = (int(word) for word in self.shell.run(asked).split())
            return {"synced_kept": synced == FILLED, "unsynced_lost": unsynced != FILLED}
        return None

    def remove(self) -> None:
        """Leave none of them."""
        self.shell.run(f"rm -f {self.synced} {self.unsynced}")
