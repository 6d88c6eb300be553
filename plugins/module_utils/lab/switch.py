# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What every provider's power switch of a node can do; `switches.py` knows which there are."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, ClassVar, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths
from ansible_collections.foundation.testbed.plugins.module_utils.lab.witness import Witness

Record = dict[str, Any]


class NoSuchNode(LabError):
    """The provider has no such node (any more)."""


class Switch:
    """Power of one node. Whatever cannot be done, or not be asked, raises LabError.

    `said` is what the inventory knows of the switch; it may hold a password, and is written nowhere else.
    """

    provider: ClassVar[str]
    # Every wait for the node is so many times longer than for a container.
    patience: float = 1.0
    # Seconds before a fault at which the node is looked at, and between two looks while it holds.
    check_ahead_s: float = 1.0
    look_every_s: float = 0.25
    # Seconds for which a node may still be seen with power that it was about to lose.
    settle_s: float = 0.0

    def __init__(self, lab: LabPaths, name: str, said: Record):
        self.lab, self.name, self.said = lab, name, said

    def refuses(self, action: str, lose_unsynced: bool) -> list[str]:
        """Say what of it this node cannot do right now; asked before a fault."""
        return []

    def running(self) -> bool:
        """Whether the node has power."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether an ssh server greets at the node's address."""
        raise NotImplementedError

    def boot_id(self) -> Optional[str]:
        """Return what the node's kernel calls this boot, or None while nobody there can be asked."""
        raise NotImplementedError

    def note(self) -> Record:
        """Return what `on` needs to have the node as it is now; the node runs."""
        return {}

    def processes(self) -> set[int]:
        """Return the node's processes, where they are this machine's."""
        return set()

    def cut(self) -> Optional[int]:
        """Cut the power at once; returns how many processes that ended, None where nobody can tell."""
        raise NotImplementedError

    def on(self, note: Record) -> None:
        """Switch the power on; does nothing where it is on."""
        raise NotImplementedError

    def reboot(self) -> None:
        """Have the node's own systemd reboot it."""
        raise NotImplementedError

    def panic(self) -> None:
        """Have the node's own kernel panic, and boot again by itself."""
        raise LabError(f"the kernel of {self.name} is this machine's: a panic would end it")

    def witness(self, name: str) -> Witness:
        """Return two files on the node's disk that tell whether a cut lost what was not fsynced."""
        raise NotImplementedError

    def lose_unsynced(self) -> None:
        """Have the disk forget what was not fsynced, where the cut alone does not; the node is off."""

    @contextlib.contextmanager
    def exclusively(self) -> Iterator[None]:
        """Keep whoever else switches the node on or off waiting."""
        yield
