# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What all workloads have in common."""

from __future__ import annotations

from typing import Any


class Workload:
    """Turns scheduled operations into arguments."""

    def prepare_last(self, number: int, f: str, key: str, client: str) -> tuple[str, Any]:
        """Return the function and value to invoke for a last read."""
        return f, None

    def ended(self, f: str, key: str, client: str) -> bool:
        """Whether a last read that was answered is done with; else it is asked again."""
        return True
