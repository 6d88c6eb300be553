# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the container provider keeps its things on the hypervisor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class NodePaths:
    """Files of one node."""

    home: Path

    @property
    def disk(self) -> Path:
        """The node's disk: a folder of this machine's, or what `disk_image` is mounted on."""
        return self.home / "disk"

    @property
    def disk_image(self) -> Path:
        """The file system of a node whose disk has a size of its own."""
        return self.home / "disk.img"

    @property
    def upper(self) -> Path:
        """What the node has written over its image."""
        return self.disk / "upper"

    @property
    def work(self) -> Path:
        """Overlayfs' own scratch folder."""
        return self.disk / "work"

    @property
    def root(self) -> Path:
        """Where the node's root file system is mounted."""
        return self.home / "root"

    @property
    def console(self) -> Path:
        """Everything the node printed since it was made."""
        return self.home / "console.log"

    @property
    def spec(self) -> Path:
        """What the node was made from."""
        return self.home / "spec.json"


@dataclass(frozen=True)
class LabPaths:
    """Files of one lab, all below `<state_dir>/labs/<testbed_id>`."""

    state_dir: Path
    testbed_id: str

    @property
    def home(self) -> Path:
        """Folder that destroy removes."""
        return self.state_dir / "labs" / self.testbed_id

    @property
    def ssh(self) -> Path:
        """Keys made for this lab alone."""
        return self.home / "ssh"

    @property
    def failures(self) -> Path:
        """Console logs of nodes that did not start; outlives the partial cluster."""
        return self.state_dir / "failures" / self.testbed_id

    @property
    def lock(self) -> Path:
        """Held while this lab is made or removed."""
        return self.state_dir / f"{self.testbed_id}.lock"

    def node(self, name: str) -> NodePaths:
        """Files of the node called `name`."""
        return NodePaths(self.home / "nodes" / name)

    def node_names(self) -> list[str]:
        """Nodes that have a folder, running or not."""
        return sorted(path.name for path in (self.home / "nodes").glob("*"))
