# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is done to, and seen of, a node with a kernel of its own: over ssh, from this machine."""

from __future__ import annotations

import contextlib
import subprocess
from typing import ClassVar, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError
from ansible_collections.foundation.testbed.plugins.module_utils.lab.node import answers_ssh
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switch import Record, Switch
from ansible_collections.foundation.testbed.plugins.module_utils.lab.witness import Witness

# Seconds for an ssh server to take a connection, to greet, and to let us in and do what it is told.
CONNECT_S, GREETING_S, SSH_S = 1.0, 3.0, 10.0
BOOT_ID = "/proc/sys/kernel/random/boot_id"
# Said by a shell that outlives its connection, as the host will not be there to answer.
LATER = "nohup sh -c 'sleep 0.2; {0}' > /dev/null 2>&1 &"
SYSRQ = "echo 1 > /proc/sys/kernel/sysrq; echo {0} > /proc/sysrq-trigger"
PANIC = "echo 1 > /proc/sys/kernel/panic; " + SYSRQ.format("c")
NO_SYSRQ = "test -w /proc/sysrq-trigger && echo able || echo not"
FILLED = 4096


class HostShell:
    """A root shell on a host, over ssh as the inventory says it."""

    def __init__(self, said: Record, wait_s: float = SSH_S):
        self.wait_s = wait_s
        self.address, self.port = str(said["address"]), int(said.get("port") or 22)
        options = [str(word) for word in said.get("options") or ()]
        self.straight = straight(options)
        self.command = [
            "ssh",
            *("-p", str(self.port)),
            *(("-i", str(said["key"])) if said.get("key") else ()),
            *(("-l", str(said["user"])) if said.get("user") else ()),
            # ssh takes what it is told first: whatever else the inventory says, the host's key is checked
            *("-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "ControlPath=none"),
            *("-o", f"ConnectTimeout={wait_s:g}"),
            *("-o", "ServerAliveInterval=2", "-o", "ServerAliveCountMax=2"),
            *options,
            self.address,
            *(("sudo", "-n") if said.get("become") else ()),
            "sh",
        ]

    def run(self, script: str, timeout_s: Optional[float] = None) -> str:
        """Standard output of a script that has `timeout_s`, or twice the wait, to end; raises LabError."""
        timeout_s = 2 * self.wait_s if timeout_s is None else timeout_s
        try:
            done = subprocess.run(
                self.command,
                input=script,
                capture_output=True,
                text=True,
                check=False,
                timeout=timeout_s,
            )
        except FileNotFoundError:
            raise LabError("the command 'ssh' is not installed on the controller") from None
        except subprocess.TimeoutExpired:
            raise LabError(f"ssh to {self.address}: no end after {timeout_s:g} s") from None
        if done.returncode != 0:
            raise LabError(f"ssh to {self.address}: {' '.join(done.stderr.split())}")
        return done.stdout


def straight(options: list[str]) -> bool:
    """Whether ssh goes straight to the address, by no other host. Pure."""
    proxies = ("proxyjump", "proxycommand")
    return not any(
        option.startswith("-J") or any(proxy in option.lower() for proxy in proxies) for option in options
    )


class HostSwitch(Switch):
    """A node with a kernel of its own; how its power is cut and switched on, its provider says."""

    # Firmware alone takes longer than a container's boot.
    patience = 10.0
    check_ahead_s, look_every_s, settle_s = 5.0, 1.0, 5.0
    # Seconds for its ssh server to greet and to let us in; and as many for what it is told.
    ssh_s: ClassVar[float] = SSH_S
    greeting_s: ClassVar[float] = GREETING_S

    def __init__(self, lab: LabPaths, name: str, said: Record):
        super().__init__(lab, name, said)
        self.shell = HostShell(said["host"], self.ssh_s)

    def refuses(self, action: str, lose_unsynced: bool) -> list[str]:
        """Say what of it the host cannot do: whoever cannot be asked for its boot proves nothing."""
        if not self.running():
            return [f"{self.name} has no power"]
        if self._asked_boot_id() is None:
            return [f"{self.name} does not say which boot it is in"]
        if action == "panic" and self.shell.run(NO_SYSRQ).strip() != "able":
            return [f"{self.name} lets nobody write to /proc/sysrq-trigger"]
        return []

    def answers(self) -> bool:
        """Whether an ssh server greets at the host's address, or behind the way that leads there."""
        if self.shell.straight:
            return answers_ssh(self.shell.address, CONNECT_S, self.greeting_s, self.shell.port)
        with contextlib.suppress(LabError):
            return self._asked_boot_id() is not None
        return False

    def boot_id(self) -> Optional[str]:
        """Return what the host's own kernel says, or None while it does not answer."""
        with contextlib.suppress(LabError):
            # a host that is not there lets ssh wait far longer than this question
            return self._asked_boot_id() if not self.shell.straight or self.answers() else None
        return None

    def _asked_boot_id(self) -> Optional[str]:
        return self.shell.run(f"cat {BOOT_ID}").strip() or None

    def reboot(self) -> None:
        """Tell the host's own systemd."""
        self.shell.run(LATER.format("systemctl reboot"))

    def panic(self) -> None:
        """Have the host's kernel panic; it boots again a second later."""
        self.shell.run(LATER.format(PANIC))

    def witness(self, name: str) -> HostWitness:
        """Return two files on the host's disk; what was in its memory alone is lost with the power."""
        return HostWitness(self.shell, name)


class HostWitness(Witness):
    """Two files that tell whether a power cut lost what was not fsynced, written and read over ssh."""

    def __init__(self, shell: HostShell, name: str):
        self.shell, self.folder = shell, "/var/lib/foundation-testbed"
        self.synced, self.unsynced = (f"{self.folder}/{name}.{kind}" for kind in ("synced", "unsynced"))

    def write(self) -> None:
        """Write both in one go, and have one of them fsynced with its name."""
        fill = f"head -c {FILLED} /dev/zero >"
        self.shell.run(
            f"set -e; mkdir -p {self.folder}; {fill} {self.synced}; sync {self.synced} {self.folder}; "
            f"{fill} {self.unsynced}"
        )

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
