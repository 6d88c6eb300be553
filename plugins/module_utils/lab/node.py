# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One node: a system container that systemd-nspawn boots from an overlay on an image."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.lab import bridge
from ansible_collections.foundation.testbed.plugins.module_utils.lab.cgroup import (
    Limits,
    NodeGroup,
    systemd_is_init,
    unit_pids,
)
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import run
from ansible_collections.foundation.testbed.plugins.module_utils.lab.keys import ensure_key
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths

NSPAWN_RUN_DIR = Path("/run/systemd/nspawn")


@dataclass(frozen=True)
class NodeSpec:
    """What a node is made from; `images` are folders of root file systems, the topmost first."""

    name: str
    address: str
    prefix_length: int
    gateway: str
    limits: Limits
    images: tuple[str, ...]

    def identity(self) -> dict[str, Any]:
        """Everything that cannot change while the node lives; its limits can."""
        record = asdict(self)
        del record["limits"]
        record["images"] = list(self.images)
        return record


class Node:
    """A node of a lab on this machine; PID 1 decides what holds it: a systemd unit, or our control group."""

    def __init__(self, lab: LabPaths, name: str):
        self.lab = lab
        self.name = name
        self.machine = f"tb-{lab.testbed_id}-{name}"
        self.paths = lab.node(name)
        self.unit = f"foundation-testbed-{lab.testbed_id}-{name}.service"
        self.under_systemd = systemd_is_init()
        self.group = None if self.under_systemd else NodeGroup(lab.testbed_id, name)

    def pids(self) -> set[int]:
        """Every process of the node, its supervisor among them."""
        if self.group is not None:
            return self.group.pids()
        return unit_pids(self.unit)

    def running(self) -> bool:
        """Tell whether any process of the node lives."""
        if self.group is not None:
            return bool(self.group.pids())
        return run(["systemctl", "show", "--property=ActiveState", "--value", self.unit]).strip() in (
            "active",
            "activating",
            "deactivating",
        )

    def made_from(self) -> Optional[dict[str, Any]]:
        """Return the identity the node was made with, or None when there is no (whole) node."""
        try:
            return dict(json.loads(self.paths.spec.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def create(self, spec: NodeSpec, authorized_key: str, hosts: dict[str, str]) -> None:
        """Lay out the node's files: overlay, name, address, keys; raises LabError."""
        for folder in (self.paths.upper, self.paths.work, self.paths.root):
            folder.mkdir(parents=True, exist_ok=True)
        self.mount(spec.images)
        for name, (text, mode) in identity_files(spec, authorized_key, hosts).items():
            _write(self.paths.root / name, text, mode)
        host_key = self.lab.ssh / "hosts" / self.name
        ensure_key(host_key, self.machine)
        for suffix, mode in (("", 0o600), (".pub", 0o644)):
            text = host_key.with_name(host_key.name + suffix).read_text(encoding="utf-8")
            _write(self.paths.root / f"etc/ssh/ssh_host_ed25519_key{suffix}", text, mode)
        self.paths.spec.write_text(json.dumps(spec.identity(), sort_keys=True), encoding="utf-8")

    def mount(self, images: Sequence[str]) -> None:
        """Mount the node's root unless it is mounted."""
        if not os.path.ismount(self.paths.root):
            run(
                [
                    "mount",
                    "-t",
                    "overlay",
                    f"overlay-{self.machine}",
                    "-o",
                    f"lowerdir={':'.join(images)},upperdir={self.paths.upper},workdir={self.paths.work}",
                    str(self.paths.root),
                ]
            )

    def boot_command(self) -> list[str]:
        """Return the command whose process is the node."""
        return [
            "systemd-nspawn",
            "--quiet",
            f"--directory={self.paths.root}",
            f"--machine={self.machine}",
            "--register=no",
            "--keep-unit",
            "--boot",
            f"--network-bridge={bridge.bridge_name(self.lab.testbed_id)}",
            "--console=read-only",
            "--link-journal=no",
            "--resolv-conf=off",
            "--timezone=off",
            "systemd.show_status=1",
        ]

    def start(self, limits: Limits) -> None:
        """Power the node on; returns before it has booted."""
        if self.group is None:
            run(
                [
                    "systemd-run",
                    "--quiet",
                    f"--unit={self.unit}",
                    "--collect",
                    *unit_properties(limits),
                    "--",
                    *self.boot_command(),
                ]
            )
            return
        self.group.create(limits)
        with self.paths.console.open("ab") as console:
            subprocess.Popen(
                self.boot_command(),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
                preexec_fn=self.group.join,
            )

    def set_limits(self, limits: Limits) -> bool:
        """Apply limits to the running node; returns whether they differed."""
        if self.group is not None:
            return self.group.set_limits(limits)
        wanted = dict(item.split("=", 1) for item in limit_properties(limits))
        shown = run(["systemctl", "show", self.unit, "--property=MemoryMax,CPUQuotaPerSecUSec,TasksMax"])
        if set(systemd_view(limits)) <= set(shown.splitlines()):
            return False
        run(["systemctl", "set-property", "--runtime", self.unit, *(f"{k}={v}" for k, v in wanted.items())])
        return True

    def kill(self) -> None:
        """Cut the node's power."""
        if self.group is not None:
            self.group.kill()
        elif self.running():
            run(["systemctl", "kill", "--signal=SIGKILL", self.unit])
            run(["systemctl", "stop", self.unit])

    def destroy(self) -> None:
        """Remove every trace of the node from this machine, whatever state it is in; raises LabError."""
        link = self._let_network_die()
        self.kill()
        if link is not None:
            bridge.remove_port(link)
        if os.path.ismount(self.paths.root):
            self._remove_nspawn_remains()
            run(["umount", str(self.paths.root)])
        if self.group is not None:
            self.group.remove()
        if self.paths.home.exists():
            shutil.rmtree(self.paths.home)

    def _let_network_die(self) -> Optional[int]:
        """Return the index of the host's end of the node's link, and shorten the life of connections to come.

        Connections of killed processes live on in the kernel while their last data finds no peer, minutes by
        default, and so do their network namespace and its link.
        """
        inside = self._process_inside()
        if inside is None:
            return None
        enter = ["nsenter", f"--net=/proc/{inside}/ns/net"]
        run([*enter, "sysctl", "--quiet", "--write", "net.ipv4.tcp_orphan_retries=1"])
        links = json.loads(run([*enter, "ip", "-j", "link", "show", "dev", "host0"]))
        return int(links[0]["link_index"])

    def _process_inside(self) -> Optional[int]:
        """Return a process in the node's own network namespace, or None when there is none."""
        own = Path("/proc/self/ns/net").readlink()
        for pid in self.pids():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/ns/net").readlink() != own:
                    return pid
        return None

    def _remove_nspawn_remains(self) -> None:
        """Remove what a killed nspawn leaves in /run: the lock on its root, and its mount tunnel."""
        root = self.paths.root.stat()
        (NSPAWN_RUN_DIR / "locks" / f"inode-{root.st_dev}:{root.st_ino}").unlink(missing_ok=True)
        tunnel = NSPAWN_RUN_DIR / "propagate" / self.machine
        if tunnel.exists():
            tunnel.rmdir()

    def console_text(self) -> str:
        """Return everything that the node printed."""
        if self.under_systemd:
            return run(["journalctl", "--no-pager", "--output=cat", f"--unit={self.unit}"])
        try:
            return self.paths.console.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""


def answers_ssh(address: str, timeout_s: float = 1.0) -> bool:
    """Tell whether an ssh server greets at the address."""
    try:
        with socket.create_connection((address, 22), timeout=timeout_s) as connection:
            connection.settimeout(timeout_s)
            return connection.recv(8).startswith(b"SSH-2.0")
    except OSError:
        return False


def identity_files(spec: NodeSpec, authorized_key: str, hosts: dict[str, str]) -> dict[str, tuple[str, int]]:
    """Text and mode of the files that make this node this node, by path below its root."""
    host_lines = "".join(f"{address} {name}\n" for name, address in sorted(hosts.items()))
    network = (
        f"[Match]\nName=host0\n\n[Network]\nAddress={spec.address}/{spec.prefix_length}\n"
        f"Gateway={spec.gateway}\nLinkLocalAddressing=no\nLLDP=no\nIPv6AcceptRA=no\n"
    )
    return {
        "etc/hostname": (f"{spec.name}\n", 0o644),
        "etc/hosts": (f"127.0.0.1 localhost\n{host_lines}", 0o644),
        "etc/systemd/network/10-testbed.network": (network, 0o644),
        "root/.ssh/authorized_keys": (f"{authorized_key}\n", 0o600),
    }


def limit_properties(limits: Limits) -> list[str]:
    """Limits as properties of a systemd unit."""
    return [f"MemoryMax={limits.memory_bytes}", f"CPUQuota={limits.cpus * 100:g}%", f"TasksMax={limits.pids}"]


def systemd_view(limits: Limits) -> list[str]:
    """The same limits as `systemctl show` prints them."""
    return [
        f"MemoryMax={limits.memory_bytes}",
        f"CPUQuotaPerSecUSec={_seconds(limits.cpus)}",
        f"TasksMax={limits.pids}",
    ]


def _seconds(cpus: float) -> str:
    """Return seconds of CPU time a second as systemd prints them; it keeps hundredths of a per cent."""
    minutes, rest_us = divmod(round(cpus * 10000) * 100, 60_000_000)
    if not minutes and rest_us < 1_000_000:
        return f"{rest_us / 1000:g}ms" if rest_us % 1000 == 0 else f"{rest_us // 1000}.{rest_us % 1000:03}ms"
    seconds = f"{rest_us // 1_000_000}s" if rest_us % 1_000_000 == 0 else f"{rest_us / 1e6:.6f}s"
    return f"{minutes}min" + (f" {seconds}" if rest_us else "") if minutes else seconds


def unit_properties(limits: Limits) -> list[str]:
    """Properties of the transient unit that holds a node on a machine run by systemd."""
    properties = ["Delegate=yes", "KillMode=mixed", "Type=exec", *limit_properties(limits)]
    return [f"--property={text}" for text in properties]


def _write(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        path.unlink()
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
