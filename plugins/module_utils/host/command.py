# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Commands on a host that belongs to somebody, and what to say when one fails."""

from __future__ import annotations

import os
import subprocess

# Plain words to parse, and no question that nobody would answer.
ENVIRONMENT = {
    **os.environ,
    "LC_ALL": "C",
    "DEBIAN_FRONTEND": "noninteractive",
    "APT_LISTCHANGES_FRONTEND": "none",
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
}


class HostError(Exception):
    """Something on the host cannot be done; the text says what, for a person."""


def ask(*command: str, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
    """Run a command whose failure is an answer; raises HostError where it is missing or does not end."""
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            stdin=subprocess.DEVNULL,
            env=ENVIRONMENT,
            timeout=timeout_s,
        )
    except FileNotFoundError:
        raise HostError(f"the command {command[0]!r} is not installed") from None
    except subprocess.TimeoutExpired:
        raise HostError(f"{' '.join(command)}: no end after {timeout_s:g} s") from None


def do(*command: str, timeout_s: float = 1800.0) -> str:
    """Run a command that has to succeed; returns its output. Raises HostError with its last words."""
    done = ask(*command, timeout_s=timeout_s)
    if done.returncode != 0:
        raise HostError(
            f"{' '.join(command)}: exit status {done.returncode}: {last_words(done.stderr or done.stdout)}"
        )
    return done.stdout


def last_words(text: str, count: int = 4) -> str:
    """Return the last lines of an output as one line."""
    return " | ".join(line.strip() for line in text.strip().splitlines()[-count:])
