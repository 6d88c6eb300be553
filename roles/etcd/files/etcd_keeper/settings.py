# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the role tells a node, and what the node keeps of its membership beside its data."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from etcd_keeper.decisions import Known, Rules


@dataclass(frozen=True)
class Settings:
    """`members` has the client URL of every node of the role by its peer URL, `names` its name."""

    peer_url: str
    members: dict[str, str]
    names: dict[str, str]
    data_dir: Path
    keeps: Path
    rules: Rules

    @property
    def others(self) -> list[str]:
        """The client URLs of the other nodes."""
        return [client for peer, client in self.members.items() if peer != self.peer_url]

    @property
    def data(self) -> Path:
        """The folder with a member's data; there once it has started."""
        return self.data_dir / "member"


def load(path: Path) -> Settings:
    """Read what the role wrote; raises OSError, ValueError, KeyError."""
    said = json.loads(path.read_text(encoding="utf-8"))
    nodes = said["members"]
    return Settings(
        said["peer_url"],
        {node["peer_url"]: node["client_url"] for node in nodes.values()},
        {node["peer_url"]: name for name, node in nodes.items()},
        Path(said["data_dir"]),
        Path(said["keeps"]),
        Rules(float(said["dead_s"]), int(said["floor"])),
    )


def known(settings: Settings) -> Known | None:
    """Return what the node knows of itself; None when nothing, or nothing that can be read."""
    try:
        said = json.loads((settings.keeps / "known.json").read_text(encoding="utf-8"))
        return Known(int(said["cluster_id"]), int(said["member_id"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep_known(settings: Settings, now: Known) -> None:
    """Remember it, safe from a loss of power."""
    _write(settings.keeps / "known.json", json.dumps(asdict(now)) + "\n")


def announced_anew(settings: Settings) -> int | None:
    """Return the member for whose announcement etcd was started anew last; None when none was."""
    try:
        return int((settings.keeps / "announced-anew").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def keep_announced_anew(settings: Settings, member_id: int) -> None:
    """Remember it, safe from a loss of power."""
    _write(settings.keeps / "announced-anew", f"{member_id}\n")


def keep_initial_cluster(settings: Settings, initial_cluster: str) -> None:
    """Have etcd join a cluster that stands when it starts without data; it never makes a new one again."""
    text = f'ETCD_INITIAL_CLUSTER="{initial_cluster}"\nETCD_INITIAL_CLUSTER_STATE="existing"\n'
    _write(settings.keeps / "initial-cluster.env", text)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
