# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Seeds: everything random is drawn from the scenario's seed, each purpose by a seed of its own."""

from __future__ import annotations

import hashlib


def sub_seed(seed: int, purpose: str) -> int:
    """Return a seed of its own for each purpose, so that one more draw here moves nothing there."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:6], "big")
