# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What only Ansible's main process knows, for the workers that it forks: an interrupt, and the terminal.

Every task runs in a worker, in a session of its own and without a terminal: Ctrl-C reaches the main process
alone. The callback `foundation.testbed.live` imports this module there, so that all workers share its memory.
"""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Mapping

_INTERRUPTED = mmap.mmap(-1, 1)  # shared with every process that is forked from here
_TERMINAL: list[str] = []


def interrupt() -> None:
    """Ask the run to stop; safe in a signal handler."""
    _INTERRUPTED[0] = 1


def forget_interrupt() -> None:
    """Begin a run that nobody has interrupted."""
    _INTERRUPTED[0] = 0


def interrupted() -> bool:
    """Whether the user has asked the run to stop."""
    return _INTERRUPTED[0] == 1


def redraws(environment: Mapping[str, str], is_terminal: bool) -> bool:
    """Whether lines on the output may be drawn over."""
    return is_terminal and environment.get("TERM", "dumb") != "dumb" and not environment.get("CI")


def remember_terminal() -> None:
    """Note the terminal of the output; to be called in the main process."""
    _TERMINAL.clear()
    if redraws(os.environ, sys.stdout.isatty()):
        _TERMINAL.append(os.ttyname(sys.stdout.fileno()))


def terminal_size() -> tuple[int, int] | None:
    """Columns and lines that the terminal has right now; None without a terminal that can be drawn on."""
    try:
        for name in _TERMINAL:
            file = os.open(name, os.O_RDONLY | os.O_NOCTTY)
            try:
                size = os.get_terminal_size(file)
            finally:
                os.close(file)
            return (size.columns, size.lines) if size.columns and size.lines else None
    except OSError:
        pass
    return None
