# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the controller keeps of a lab that another machine has: its key, and by which the nodes are known."""

from __future__ import annotations

import contextlib
import shutil
import socket
from collections.abc import Sequence
from typing import Optional

from ansible_collections.foundation.testbed.plugins.module_utils.lab import owner
from ansible_collections.foundation.testbed.plugins.module_utils.lab.keys import ensure_key, write_known_hosts
from ansible_collections.foundation.testbed.plugins.module_utils.lab.lab import Lab
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths


class KeysElsewhere:
    """Keys of the lab that the machine with this address has."""

    def __init__(self, paths: LabPaths, address: str):
        self.paths, self.owner = paths, f"vm on {address}"
        self.key = paths.ssh / "id_ed25519"

    def ensure(self, known_hosts: Optional[Sequence[str]], check_mode: bool) -> tuple[bool, str]:
        """Have the key, and known_hosts where lines are given; tells whether it changed, and the public key.

        Raises LabError where another machine's nodes stand in this lab.
        """
        with Lab(self.paths).locked():
            owner.require(self.paths, self.owner)
            changed = not self.key.exists() or self._differs(known_hosts)
            if check_mode:
                return changed, self._public() if self.key.exists() else ""
            owner.write(self.paths, self.owner)
            comment = f"foundation-testbed-{self.paths.testbed_id}@{socket.gethostname()}"
            public = ensure_key(self.key, comment)
            if known_hosts is not None:
                write_known_hosts(self.paths.ssh / "known_hosts", list(known_hosts))
            return changed, public

    def remove(self, check_mode: bool) -> bool:
        """Remove all that is here of the lab; returns whether there was anything. Raises LabError."""
        with Lab(self.paths).locked():
            owner.require(self.paths, self.owner)
            there = self.paths.home.exists()
            if there and not check_mode:
                shutil.rmtree(self.paths.home)
                with contextlib.suppress(OSError):
                    self.paths.home.parent.rmdir()
            return there

    def _differs(self, known_hosts: Optional[Sequence[str]]) -> bool:
        if known_hosts is None:
            return False
        try:
            lines = (self.paths.ssh / "known_hosts").read_text(encoding="utf-8").splitlines()
        except OSError:
            lines = []
        return lines != sorted(known_hosts)

    def _public(self) -> str:
        return self.key.with_name(self.key.name + ".pub").read_text(encoding="utf-8").strip()
