# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Root file systems for nodes: a base made by mmdebstrap, layers of packages on top, cached by recipe."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypedDict

from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError, run

# Raise this when the steps below change what they leave in the file system.
RECIPE_VERSION = 3

SUITE = "bookworm"
BASE_PACKAGES = (
    "ca-certificates",
    "dbus",
    "iproute2",
    "iputils-ping",
    "kmod",
    "nftables",
    "openssh-server",
    "procps",
    "python3",
    "python3-apt",
    "stress-ng",
    "systemd",
    "systemd-sysv",
)

# Nothing in a node may reach out by itself, and none of these serves a system under test.
MASKED_UNITS = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
    "systemd-resolved.service",
    "getty.target",
    "console-getty.service",
    "systemd-networkd-wait-online.service",
)

_SSHD = (
    "UseDNS no\nPasswordAuthentication no\nHostKey /etc/ssh/ssh_host_ed25519_key\n"
    "MaxSessions 100\nMaxStartups 100\n"
)
_JOURNALD = "[Journal]\nStorage=persistent\nRateLimitIntervalSec=0\nSystemMaxUse=200M\n"
# Settings that every node has, by path.
NODE_FILES = {
    "etc/ssh/sshd_config.d/testbed.conf": _SSHD,
    "etc/systemd/journald.conf.d/testbed.conf": _JOURNALD,
}
_NO_START = "#!/bin/sh\nexit 101\n"


class Recipe(TypedDict):
    """What decides an image's content."""

    version: int
    suite: str
    packages: list[str]
    below: str


def recipe(packages: Sequence[str], below: str = "") -> Recipe:
    """Return the recipe of a base when `below` is empty, else of a layer on the base of that hash."""
    return {"version": RECIPE_VERSION, "suite": SUITE, "packages": sorted(set(packages)), "below": below}


def recipe_hash(wanted: Recipe) -> str:
    """Name of an image in the cache."""
    return hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()[:16]


class ImageStore:
    """The cache of root file systems, `<state_dir>/images/<hash>`."""

    def __init__(self, state_dir: Path, work_dir: Path):
        self.folder = state_dir / "images"
        self.work_dir = work_dir

    def path(self, wanted: Recipe) -> Path:
        """Where the image of a recipe is or will be."""
        return self.folder / recipe_hash(wanted)

    def missing(self, wanted: Recipe) -> bool:
        """Tell whether the image has still to be built."""
        return not self.path(wanted).is_dir()

    def ensure(self, wanted: Recipe) -> bool:
        """Build the image unless it is there; returns whether it was built. Raises LabError."""
        with self._locked():
            if not self.missing(wanted):
                return False
            self._remove_remains()
            target = self.path(wanted)
            building = target.with_suffix(".building")
            building.mkdir()
            try:
                if wanted["below"]:
                    self._build_layer(building, self.folder / wanted["below"], wanted["packages"])
                else:
                    self._build_base(building, wanted["packages"])
                building.rename(target)
            finally:
                if building.exists():
                    shutil.rmtree(building)
            return True

    def _remove_remains(self) -> None:
        """Remove what a killed build left behind."""
        for path in [*self.folder.glob("*.building"), *self.folder.glob("*.mnt")]:
            with contextlib.suppress(LabError):
                run(["umount", "--recursive", str(path)])
            shutil.rmtree(path)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _build_base(self, target: Path, packages: Sequence[str]) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".conf", dir=self.work_dir) as options:
            options.write(run(["apt-config", "dump", "Acquire"]))
            options.flush()
            run(
                [
                    "mmdebstrap",
                    "--quiet",
                    "--variant=minbase",
                    "--mode=root",
                    "--skip=cleanup/apt/lists",
                    f"--aptopt={options.name}",
                    f"--include={','.join(packages)}",
                    SUITE,
                    str(target),
                    *_host_sources(),
                ],
                timeout_s=1800,
            )
        _customise(target)

    def _build_layer(self, target: Path, base: Path, packages: Sequence[str]) -> None:
        mount_point = target.with_suffix(".mnt")
        work = target.with_suffix(".work.building")
        for folder in (mount_point, work):
            folder.mkdir()
        try:
            run(
                [
                    "mount",
                    "-t",
                    "overlay",
                    "overlay",
                    "-o",
                    f"lowerdir={base},upperdir={target},workdir={work}",
                    str(mount_point),
                ]
            )
            try:
                _install(mount_point, packages)
            finally:
                run(["umount", str(mount_point)])
            _disable_services(target)
        finally:
            mount_point.rmdir()
            shutil.rmtree(work)


def _disable_services(layer: Path) -> None:
    """Have a node that has just booted run none of a layer's services: roles enable what they configured.

    A unit's aliases go as well: systemd calls a unit enabled that has one, and nobody would enable it again.
    """
    units = layer / "etc/systemd/system"
    for link in [*units.glob("*.wants/*"), *units.glob("*.service")]:
        if link.is_symlink() and str(link.readlink()) != "/dev/null":
            link.unlink()


def _host_sources() -> list[str]:
    """The hypervisor's own package sources where it runs the same suite: its mirror serves the nodes too."""
    if f"VERSION_CODENAME={SUITE}" not in Path("/etc/os-release").read_text(encoding="utf-8"):
        return []
    folder = Path("/etc/apt/sources.list.d")
    files = [Path("/etc/apt/sources.list"), *sorted(folder.glob("*.list")), *sorted(folder.glob("*.sources"))]
    debian = [
        path for path in files if path.is_file() and "debian" in path.read_text(encoding="utf-8").lower()
    ]
    return [str(path) for path in debian]


def _install(root: Path, packages: Sequence[str]) -> None:
    """Install packages with the hypervisor's network; nothing is started."""
    policy = root / "usr/sbin/policy-rc.d"
    _write(policy, _NO_START, 0o755)
    run(
        [
            "systemd-nspawn",
            "--quiet",
            "-D",
            str(root),
            "--register=no",
            "--keep-unit",
            "--pipe",
            "--resolv-conf=bind-host",
            "--setenv=DEBIAN_FRONTEND=noninteractive",
            "--as-pid2",
            "apt-get",
            "install",
            "-y",
            "-q",
            "--no-install-recommends",
            *packages,
        ],
        timeout_s=1800,
    )
    policy.unlink()
    shutil.rmtree(root / "var/cache/apt/archives", ignore_errors=True)


def _customise(root: Path) -> None:
    """Make the base a node: networkd and sshd on, everything that calls out off, no identity yet."""
    for path, text in NODE_FILES.items():
        _write(root / path, text)
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    for unit in MASKED_UNITS:
        link = root / "etc/systemd/system" / unit
        with contextlib.suppress(FileNotFoundError):
            link.unlink()
        link.symlink_to("/dev/null")
    for name in ("etc/machine-id", "etc/hostname"):
        _write(root / name, "")
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    run(["systemctl", f"--root={root}", "enable", "systemd-networkd.service", "ssh.service"])


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
