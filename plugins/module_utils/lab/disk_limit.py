# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How many operations a second the kernel lets a node's own disk do.

With cgroup v1 the limit is the disk's own (`blkio.throttle`, at the root, for one device number), with v2 it
is that of the node's group (`io.max`). Nobody else uses a node's disk, so both slow down the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from ansible_collections.foundation.testbed.plugins.module_utils.lab.cgroup import (
    Hierarchy,
    parse_hierarchies,
)
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError

V1_FILES = ("blkio.throttle.read_iops_device", "blkio.throttle.write_iops_device")
V2_FILE = "io.max"


@dataclass(frozen=True)
class DiskLimit:
    """The limit of one device (`MAJOR:MINOR`) in one control group."""

    folder: Path
    version: int
    number: str

    def files(self, iops: Optional[int]) -> dict[str, str]:
        """What to write into which file; None takes the limit away. Pure."""
        if self.version == 1:
            return dict.fromkeys(V1_FILES, f"{self.number} {iops or 0}")
        wanted = "max" if iops is None else iops
        return {V2_FILE: f"{self.number} riops={wanted} wiops={wanted}"}

    def read_in(self, text: str) -> Optional[int]:
        """Return the limit out of a file's text, None for none. Pure."""
        pattern = rf"^{self.number} (\d+)$" if self.version == 1 else rf"^{self.number} .*\bwiops=(\d+)"
        match = re.search(pattern, text, re.MULTILINE)
        return int(match[1]) if match else None

    def set(self, iops: Optional[int]) -> None:
        """Limit the disk, or no more; raises LabError where the kernel refuses."""
        try:
            for name, text in self.files(iops).items():
                (self.folder / name).write_text(text, encoding="utf-8")
        except OSError as error:
            raise LabError(f"{self.folder} takes no limit for the disk {self.number}: {error}") from error

    def get(self) -> Optional[int]:
        """Return the limit that holds, None for none."""
        name = V1_FILES[1] if self.version == 1 else V2_FILE
        return self.read_in((self.folder / name).read_text(encoding="utf-8"))


def can_limit(mounts: str) -> bool:
    """Whether this machine's control groups can limit one disk, out of the text of /proc/mounts."""
    for hierarchy in parse_hierarchies(mounts):
        if hierarchy.version == 1 and _throttles(hierarchy):
            return True
        controllers = hierarchy.mount_point / "cgroup.controllers"
        if hierarchy.version == 2 and "io" in controllers.read_text(encoding="utf-8").split():
            return True
    return False


def _throttles(hierarchy: Hierarchy) -> bool:
    return "blkio" in hierarchy.controllers and (hierarchy.mount_point / V1_FILES[0]).exists()


def disk_limit(number: str, group: Optional[Path], mounts: str) -> Optional[DiskLimit]:
    """Return where a disk can be limited, None for nowhere: `group` is the node's own of cgroup v2."""
    for hierarchy in parse_hierarchies(mounts):
        if hierarchy.version == 1 and _throttles(hierarchy):
            return DiskLimit(hierarchy.mount_point, 1, number)
    if group is not None and (group / V2_FILE).exists():
        return DiskLimit(group, 2, number)
    return None
