# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The node's etcd as a process, which systemd starts anew whenever it ends."""

from __future__ import annotations

import logging
import os
import signal
import subprocess

LOG = logging.getLogger("etcd-keeper")
MAIN_PROCESS = ("systemctl", "show", "etcd.service", "--property=MainPID", "--value")


def running() -> int | None:
    """Return the process id of etcd; None while it does not run, or systemd does not say."""
    try:
        done = subprocess.run(MAIN_PROCESS, capture_output=True, text=True, timeout=2.0, check=True)
        return int(done.stdout) or None
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        LOG.info("systemd does not say whether etcd runs: %s", error)
        return None


def kill(process: int) -> None:
    """Kill one, if it is there still."""
    try:
        os.kill(process, signal.SIGKILL)
    except OSError as error:
        LOG.info("etcd goes on as it is: %s", error)
