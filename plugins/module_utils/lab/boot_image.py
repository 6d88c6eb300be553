# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Machines that boot an image of the user's own by its boot loader; cloud-init in it learns who they are."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.lab import seed
from ansible_collections.foundation.testbed.plugins.module_utils.lab.boot_kernel import DISK
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError, run
from ansible_collections.foundation.testbed.plugins.module_utils.lab.domain import domain_name, mac_address
from ansible_collections.foundation.testbed.plugins.module_utils.lab.image import (
    BASE_PACKAGES,
    MASKED_UNITS,
    NODE_FILES,
)
from ansible_collections.foundation.testbed.plugins.module_utils.lab.node import NodeSpec, identity_files

SEED = "seed.iso"
FORMATS = ("qcow2", "raw")
# What an image of the user's own needs for its network and its console is left to it.
_KEPT = ("console-getty.service", "getty.target", "systemd-resolved.service")
MASKED = tuple(unit for unit in MASKED_UNITS if unit not in _KEPT)
WAIT_THERE_S, ASK_S = 40, 90.0


@dataclass(frozen=True)
class OwnImage:
    """An image of the user's own: where, in which format, how large for the machine, and which edition."""

    path: Path
    format: str
    size: int
    edition: str

    @classmethod
    def at(cls, path: Path) -> OwnImage:
        """Look at an image; raises LabError where it is none."""
        allowed = f"allowed: a disk image ({' or '.join(FORMATS)})"
        if not path.is_file():
            raise LabError(f"vm.image: given {path}, which is no file; {allowed}")
        try:
            said = json.loads(run(["qemu-img", "info", "--output=json", str(path)], timeout_s=30))
        except LabError as error:
            raise LabError(f"vm.image: given {path} ({error}); {allowed}") from None
        if said["format"] not in FORMATS:
            raise LabError(f"vm.image: given {path} in the format {said['format']}; {allowed}")
        stat = path.stat()
        edition = f"{path}@{stat.st_size}@{stat.st_mtime_ns}"
        return cls(path, str(said["format"]), int(said["virtual-size"]), edition)

    def disk_bytes(self, wanted: Optional[int], name: str) -> int:
        """Return how large a machine's disk is; raises LabError where the image has no room on it."""
        if wanted is not None and wanted < self.size:
            raise LabError(
                f"resource_limits.disk of {name}: given {wanted // 2**20}M; "
                f"allowed: at least {-(-self.size // 2**20)}M, which the image {self.path} takes"
            )
        return wanted or self.size


class ImageBoot:
    """Boots an image of the user's own; `packages` of each node are installed at its first boot."""

    def __init__(
        self,
        testbed_id: str,
        image: OwnImage,
        packages: Mapping[str, Sequence[str]],
        nameservers: Sequence[str] = (),
    ):
        self.testbed_id, self.image, self.nameservers = testbed_id, image, list(nameservers)
        self.packages = {name: sorted({*BASE_PACKAGES, *own}) for name, own in packages.items()}

    def images(self, name: str) -> tuple[str, ...]:
        """Return all that decides what is on a new machine's disk."""
        return (self.image.edition, *self.packages[name], *(f"dns {one}" for one in self.nameservers))

    def parts(self, spec: NodeSpec, folder: Path) -> dict[str, Any]:
        """Return what of a `Domain` says how it boots."""
        return {"seed": str(folder / SEED)}

    def create(
        self, spec: NodeSpec, folder: Path, authorized_key: str, host_key: Path, hosts: dict[str, str]
    ) -> None:
        """Make the files of a new machine in its folder. Raises LabError."""
        size = self.image.disk_bytes(spec.disk_bytes, spec.name)
        overlay = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", self.image.format]
        run([*overlay, "-b", str(self.image.path), str(folder / DISK), str(size)])
        seed.write(folder / SEED, self._texts(spec, authorized_key, host_key, hosts))

    def _texts(
        self, spec: NodeSpec, authorized_key: str, host_key: Path, hosts: dict[str, str]
    ) -> dict[str, str]:
        public = host_key.with_name(host_key.name + ".pub")
        pair = host_key.read_text(encoding="utf-8"), public.read_text(encoding="utf-8")
        domain = domain_name(self.testbed_id, spec.name)
        address = f"{spec.address}/{spec.prefix_length}"
        script = seed.first_boot(self.packages[spec.name], MASKED)
        files = {
            path: told
            for path, told in identity_files(spec, authorized_key, hosts).items()
            if not path.startswith("etc/systemd/network/")
        }
        files |= {path: (text, 0o644) for path, text in NODE_FILES.items()}
        return {
            "user-data": seed.user_data(spec.name, files, script, authorized_key, pair),
            "meta-data": seed.meta_data(domain, spec.name),
            "network-config": seed.network_config(
                mac_address(domain), address, spec.gateway, self.nameservers
            ),
        }

    def unready(self, ssh: Sequence[str]) -> Optional[str]:
        """Say what a machine that answers ssh still waits for, None once its first boot is over.

        Raises LabError where it went wrong.
        """
        # One login waits there: under emulation a login costs the machine seconds of what it boots with.
        wait = f"n=0; until [ -e {seed.OUTCOME} ] || [ $n -ge {WAIT_THERE_S} ]; do sleep 1; n=$((n+1)); done"
        command = [*ssh, f"{wait}; cat {seed.OUTCOME} 2> /dev/null || echo begun"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=ASK_S)
        except subprocess.TimeoutExpired:
            return "its ssh server lets nobody in"
        said = done.stdout.strip()
        if done.returncode != 0:
            return f"its ssh server lets nobody in: {' '.join(done.stderr.split())}"
        if said not in ("ok", "begun"):
            raise LabError(said)
        return None if said == "ok" else "cloud-init is not through with its first boot"
