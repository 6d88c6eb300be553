# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Many steps of which none may stop another: what goes wrong is collected, and raised at the end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


class Problems:
    """What went wrong so far, in words."""

    def __init__(self) -> None:
        self.found: list[str] = []

    @contextlib.contextmanager
    def of(self, what: str) -> Iterator[None]:
        """Go on after whatever goes wrong within, and note it."""
        try:
            yield
        except Exception as error:
            self.found.append(f"{what}: {type(error).__name__}: {error}")

    def raise_any(self, beginning: str = "") -> None:
        """Raise RuntimeError if anything went wrong."""
        if self.found:
            raise RuntimeError(beginning + "; ".join(self.found))
