# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Running commands on the hypervisor, and waiting for what they bring about."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Optional, TypeVar

Found = TypeVar("Found")


class LabError(Exception):
    """Something on the hypervisor went wrong; the text says what, for a person."""


def run(
    argv: Sequence[str],
    stdin: Optional[str] = None,
    timeout_s: float = 600.0,
    preexec: Optional[Callable[[], None]] = None,
) -> str:
    """Standard output of a command; raises LabError with its last words when it fails or takes too long.

    `preexec` is called in the new process before it becomes the command.
    """
    try:
        done = subprocess.run(
            list(argv),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
            errors="replace",
            preexec_fn=preexec,
        )
    except FileNotFoundError:
        raise LabError(f"the command {argv[0]!r} is not installed") from None
    except subprocess.TimeoutExpired:
        raise LabError(f"{' '.join(argv)}: no end after {timeout_s:g} s") from None
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()[-8:]
        raise LabError(f"{' '.join(argv)}: exit status {done.returncode}: " + " | ".join(words))
    return done.stdout


def wait_until(
    condition: Callable[[], Optional[Found]], timeout_s: float, interval_s: float = 0.05
) -> Optional[Found]:
    """Return the first truthy value of `condition`, or None once `timeout_s` has passed."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = condition()
        if found or time.monotonic() >= deadline:
            return found or None
        time.sleep(interval_s)
