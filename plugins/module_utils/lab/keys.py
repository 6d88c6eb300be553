# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""SSH keys made for one lab alone: the user's, a host key for each node, the known_hosts that checks them."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import run


def ensure_key(path: Path, comment: str) -> str:
    """Make an ed25519 key pair at `path` unless it is there; returns the public line."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)])
    return path.with_name(path.name + ".pub").read_text(encoding="utf-8").strip()


def known_hosts_line(names: list[str], public_line: str) -> str:
    """Return the line that lets ssh check a host's key under any of its names."""
    kind, key = public_line.split()[:2]
    return f"{','.join(names)} {kind} {key}"


def write_known_hosts(path: Path, lines: list[str]) -> bool:
    """Write known_hosts in one piece; returns whether it changed."""
    text = "".join(f"{line}\n" for line in sorted(lines))
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    fresh = path.with_suffix(".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
    return True
