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
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.lab import bridge, disk
from ansible_collections.foundation.testbed.plugins.module_utils.lab.cgroup import (
    CPU_WEIGHT,
    Limits,
    NodeGroup,
    systemd_is_init,
    unit_group,
    unit_pids,
)
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError, run, wait_until
from ansible_collections.foundation.testbed.plugins.module_utils.lab.disk_limit import DiskLimit, can_limit
from ansible_collections.foundation.testbed.plugins.module_utils.lab.keys import ensure_key
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths

NSPAWN_RUN_DIR = Path("/run/systemd/nspawn")


@dataclass(frozen=True)
class NodeSpec:
    """What a node is made from; `images` are folders of root file systems, the topmost first.

    Without `disk_bytes` the node writes to this machine's own file system, without a limit.
    """

    name: str
    address: str
    prefix_length: int
    gateway: str
    limits: Limits
    images: tuple[str, ...]
    disk_bytes: Optional[int] = None

    def identity(self) -> dict[str, Any]:
        """Everything that cannot change while the node lives; its limits can."""
        record = asdict(self)
        del record["limits"]
        record["images"] = list(self.images)
        return record


def node_specs(params: dict[str, Any]) -> list[NodeSpec]:
    """Return the nodes of a module's options; a machine of its own has no limit of processes."""
    prefix_length = int(params["subnet"].split("/")[1])
    return [
        NodeSpec(
            name=node["name"],
            address=node["address"],
            prefix_length=prefix_length,
            gateway=params["gateway"],
            limits=Limits(
                int(node["memory_bytes"]),
                float(node["cpus"]),
                int(node["pids"] or 0),
                int(node.get("cpu_weight") or CPU_WEIGHT),
            ),
            images=tuple(node["images"]),
            disk_bytes=int(node["disk_bytes"]) if node.get("disk_bytes") else None,
        )
        for node in params["nodes"]
    ]


class Node:
    """A node of a lab on this machine; PID 1 decides what holds it: a systemd unit, or our control group."""

    def __init__(self, lab: LabPaths, name: str):
        self.lab = lab
        self.name = name
        self.machine = f"tb-{lab.testbed_id}-{name}"
        self.paths = lab.node(name)
        self.unit = f"foundation-testbed-{lab.testbed_id}-{name}.service"
        self.group = None if systemd_is_init() else NodeGroup(lab.testbed_id, name)

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
        disk.make(self.paths, spec.disk_bytes)
        disk.mount(self.paths)
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
        if self.has_disk():  # a power cut that loses what is not on the disk must not lose the node's name
            run(["sync", "--file-system", str(self.paths.disk)])

    def mount(self, images: Sequence[str]) -> None:
        """Mount the node's root unless it is mounted; a disk that has failed is mounted anew."""
        disk.mount(self.paths)
        if self.has_disk() and disk.fails(self.paths):
            self.mount_anew()
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

    def _tell(self, limits: Limits) -> None:
        """Tell the node its limits, of which its own control group shows it some on some machines only."""
        told = {
            **asdict(limits),
            "disk_bytes": (self.made_from() or {}).get("disk_bytes"),
            "disk_limit": self.has_disk() and can_limit(Path("/proc/mounts").read_text(encoding="utf-8")),
        }
        path, text = self.paths.root / "etc/foundation-testbed/limits.json", json.dumps(told, sort_keys=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            _write(path, text, 0o644)

    def unmount(self) -> None:
        """Unmount the node's root and its disk, which nothing uses any more; raises LabError."""
        if os.path.ismount(self.paths.root):
            self._remove_nspawn_remains()
            run(["umount", str(self.paths.root)])
        disk.unmount(self.paths)

    def has_disk(self) -> bool:
        """Whether the node has a disk of its own."""
        return self.paths.disk_image.exists()

    def disk_limit(self) -> Optional[DiskLimit]:
        """Return where the node's own disk can be limited, None where it has none or the kernel cannot."""
        return disk.limit(self.paths, self._v2_group()) if self.has_disk() else None

    def _v2_group(self) -> Optional[Path]:
        """Return the node's own group of cgroup v2, None where there is none."""
        if self.group is not None:
            return next(
                (h.mount_point / self.group.below for h in self.group.hierarchies if h.version == 2), None
            )
        return unit_group(self.unit)

    def lose_unsynced(self) -> None:
        """Lose what has not reached the disk of a node that has been cut, and mount the disk anew."""
        if os.path.ismount(self.paths.disk):
            disk.shut_down(self.paths)
        self.mount_anew()

    def mount_anew(self) -> None:
        """Mount the disk of a node that has been cut as a machine does that boots; raises LabError."""
        self.unmount()
        disk.await_release(self.paths)
        disk.mount(self.paths)

    def start(self, limits: Limits) -> None:
        """Power the node on; returns before it has booted."""
        self._tell(limits)
        if self.group is None:
            run(
                [
                    "systemd-run",
                    "--quiet",
                    f"--unit={self.unit}",
                    "--collect",
                    *unit_properties(limits, self.paths.console),
                    "--",
                    *self.boot_command(),
                ]
            )
            return
        self.group.create(limits)
        with self.paths.console.open("ab") as console:
            try:
                subprocess.Popen(
                    self.boot_command(),
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=console,
                    start_new_session=True,
                    preexec_fn=self.group.join,
                )
            except subprocess.SubprocessError as error:
                raise LabError(f"{self.name} cannot join its control group {self.group.below}") from error

    def set_limits(self, limits: Limits) -> bool:
        """Apply limits to the running node; returns whether they differed."""
        self._tell(limits)
        if self.group is not None:
            return self.group.set_limits(limits)
        wanted = dict(item.split("=", 1) for item in limit_properties(limits))
        names = ",".join(line.split("=")[0] for line in systemd_view(limits))
        shown = run(["systemctl", "show", self.unit, f"--property={names}"])
        if set(systemd_view(limits)) <= set(shown.splitlines()):
            return False
        run(["systemctl", "set-property", "--runtime", self.unit, *(f"{k}={v}" for k, v in wanted.items())])
        return True

    def kill(self, timeout_s: float = 10.0) -> None:
        """Cut the node's power; raises LabError when it outlives that.

        What waits for a slow disk lives until the disk has answered: it has to be fast before.
        """
        with contextlib.suppress(LabError, OSError):  # it may be off, or its disk not mounted
            held = self.disk_limit()
            if held is not None and held.get() is not None:
                held.set(None)
        if self.group is not None:
            self.group.kill(timeout_s)
        elif not wait_until(self._unit_is_killed, timeout_s):
            raise LabError(f"the unit {self.unit} outlives SIGKILL")

    def _unit_is_killed(self) -> bool:
        """Tell whether the unit has ended, else kill what it holds; systemd forgets a unit that has ended."""
        if not self.running():
            return True
        with contextlib.suppress(LabError):
            run(["systemctl", "kill", "--signal=SIGKILL", self.unit])
        return False

    def destroy(self) -> None:
        """Remove every trace of the node from this machine, whatever state it is in; raises LabError."""
        link = self._let_network_die()
        self.kill()
        if link is not None:
            bridge.remove_port(link)
        self.unmount()
        if self.group is not None:
            self.group.remove()
        if self.paths.home.exists():
            shutil.rmtree(self.paths.home)

    def _let_network_die(self) -> Optional[int]:
        """Return the index of the host's end of the node's link, and shorten the life of connections to come.

        Connections of killed processes live on in the kernel while their last data finds no peer, minutes by
        default, and so do their network namespace and its link.
        """
        for namespace in self._network_namespaces():
            enter = ["nsenter", f"--net={namespace}"]
            links = {link["ifname"]: link for link in json.loads(run([*enter, "ip", "-j", "link", "show"]))}
            if "host0" in links:
                run([*enter, "sysctl", "--quiet", "--write", "net.ipv4.tcp_orphan_retries=1"])
                return int(links["host0"]["link_index"])
        return None

    def _network_namespaces(self) -> Iterator[str]:
        """Yield a path to each network of the node's processes, which cannot die while it is looked at."""
        seen = {Path("/proc/self/ns/net").stat().st_ino}
        for pid in sorted(self.pids()):
            with contextlib.suppress(OSError), Path(f"/proc/{pid}/ns/net").open("rb", buffering=0) as held:
                inode = os.fstat(held.fileno()).st_ino
                if inode not in seen:
                    seen.add(inode)
                    yield f"/proc/{os.getpid()}/fd/{held.fileno()}"

    def _remove_nspawn_remains(self) -> None:
        """Remove what a killed nspawn leaves in /run: the lock on its root, and its mount tunnel."""
        root = self.paths.root.stat()
        (NSPAWN_RUN_DIR / "locks" / f"inode-{root.st_dev}:{root.st_ino}").unlink(missing_ok=True)
        tunnel = NSPAWN_RUN_DIR / "propagate" / self.machine
        if tunnel.exists():
            tunnel.rmdir()

    def console_text(self) -> str:
        """Return everything that the node printed."""
        try:
            return self.paths.console.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""


def answers_ssh(
    address: str, timeout_s: float = 1.0, greeting_timeout_s: float = 5.0, port: int = 22
) -> bool:
    """Tell whether an ssh server greets at the address; a slow machine connects long before it greets."""
    try:
        with socket.create_connection((address, port), timeout=timeout_s) as connection:
            connection.settimeout(greeting_timeout_s)
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
    quota = f"{_hundredths_of_a_per_cent(limits.cpus) / 100:.12g}%"
    return [
        f"MemoryMax={limits.memory_bytes}",
        f"CPUQuota={quota}",
        f"TasksMax={limits.pids}",
        f"CPUWeight={limits.cpu_weight}",
    ]


def systemd_view(limits: Limits) -> list[str]:
    """The same limits as `systemctl show` prints them."""
    return [
        f"MemoryMax={limits.memory_bytes}",
        f"CPUQuotaPerSecUSec={_seconds(limits.cpus)}",
        f"TasksMax={limits.pids}",
        f"CPUWeight={limits.cpu_weight}",
    ]


def _hundredths_of_a_per_cent(cpus: float) -> int:
    """Return processors in the smallest step of a quota that systemd takes; it refuses finer ones."""
    return round(cpus * 10_000)


def _seconds(cpus: float) -> str:
    """Return seconds of CPU time a second as systemd prints them."""
    minutes, rest_us = divmod(_hundredths_of_a_per_cent(cpus) * 100, 60_000_000)
    if not minutes and rest_us < 1_000_000:
        return f"{rest_us / 1000:g}ms" if rest_us % 1000 == 0 else f"{rest_us // 1000}.{rest_us % 1000:03}ms"
    seconds = f"{rest_us // 1_000_000}s" if rest_us % 1_000_000 == 0 else f"{rest_us / 1e6:.6f}s"
    return f"{minutes}min" + (f" {seconds}" if rest_us else "") if minutes else seconds


def unit_properties(limits: Limits, console: Path) -> list[str]:
    """Properties of the transient unit that holds a node on a machine run by systemd."""
    held = ["Delegate=yes", "IOAccounting=yes", "KillMode=mixed", "Type=exec"]
    output = [f"StandardOutput=append:{console}", f"StandardError=append:{console}"]
    return [f"--property={text}" for text in [*held, *output, *limit_properties(limits)]]


def _write(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        path.unlink()
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
