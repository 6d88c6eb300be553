# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a node reaches a majority, as a mode: a pure function of when it last had proof of it."""

from __future__ import annotations

import math
from typing import NamedTuple

NORMAL, PARTITION_DETECTED, SAFE_MODE = "normal", "partition_detected", "safe_mode"
MODES = (NORMAL, PARTITION_DETECTED, SAFE_MODE)


class Limits(NamedTuple):
    """Seconds without proof of a majority after which a node is no longer `normal`, and is in `safe_mode`."""

    detect_s: float = 3.0
    safe_s: float = 8.0


def mode_of(now_s: float, majority_s: float | None, limits: Limits) -> str:
    """Return the mode at `now_s`; `majority_s` is when the latest request began that a majority answered."""
    age_s = math.inf if majority_s is None else now_s - majority_s
    if age_s < limits.detect_s:
        return NORMAL
    return PARTITION_DETECTED if age_s < limits.safe_s else SAFE_MODE


def admits(mode: str, writes: bool) -> bool:
    """Whether to try an operation: without a majority no write, in safe mode no read that needs one."""
    return mode == NORMAL or (mode == PARTITION_DETECTED and not writes)
