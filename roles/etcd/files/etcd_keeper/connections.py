# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Connections of this node's member to another one."""

from __future__ import annotations

import logging
import subprocess
import urllib.parse

LOG = logging.getLogger("etcd-keeper")
SEVER_S = 2.0


def sever_command(peer_url: str) -> list[str]:
    """Return the command that ends all connections with a member's address of peers. Pure."""
    at = urllib.parse.urlsplit(peer_url)
    return ["ss", "-K", "dst", str(at.hostname), f"( sport = :{at.port} or dport = :{at.port} )"]


def sever(peer_url: str) -> None:
    """End the connections with a dead member.

    etcd writes to them until the buffers are full, and a member that then applies a removal stands still
    until the write times out, five seconds after it began. One that lives after all connects anew.
    """
    try:
        done = subprocess.run(
            sever_command(peer_url), capture_output=True, text=True, timeout=SEVER_S, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        LOG.info("the connections with %s stay: %s", peer_url, error)
        return
    if done.returncode != 0:
        LOG.info("the connections with %s stay: %s", peer_url, done.stderr.strip())
