# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an entry of the ledger holds, whoever wrote it: numbers, counters, times, words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Entry = Mapping[str, Any]
LEDGER_KEYS = ("node", "fault", "type", "event", "wall_ns", "mono_ns", "t_s")
"""What every line of the ledger says; the rest is the event's own."""


def number(value: Any, default: float) -> float:
    """Return ``value`` if it is a number, else ``default``."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else default


def total(value: Any) -> float:
    """Sum a counter that may be one number or a mapping of numbers, by rule or by peer."""
    if isinstance(value, Mapping):
        return sum(total(item) for item in value.values())
    return number(value, 0.0)


def since(wall_ns: int | None, start_wall_ns: int | None) -> float | None:
    """Return the seconds from the start instant to another; None where either is unknown."""
    return (
        round((wall_ns - start_wall_ns) / 1e9, 6)
        if wall_ns is not None and start_wall_ns is not None
        else None
    )


def joined(items: Any) -> str:
    """Return a list as words, and anything else as it is."""
    return ", ".join(str(item) for item in items) if isinstance(items, (list, tuple)) else str(items)
