# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Shrink the operations of a key that have no order to the smallest set that still proves it.

Removing an operation must not make up a violation. An observation may always go. A writer may go only when
nobody who stays saw its value, and no failed comparison that stays may owe its answer to it; so every value
that is seen in what remains keeps all its writers.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.models import (
    APPEND,
    DIFFERS,
    READ,
    Entry,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.wgl import Search

TRIAL_STEPS = 20_000


def shrink(entries: Sequence[Entry], initial: Any, max_seconds: float) -> tuple[list[Entry], bool]:
    """Return a smaller set without an order, and whether nothing more can be removed from it."""
    deadline = time.monotonic() + max_seconds
    kept = sorted(entries, key=lambda entry: entry.start)
    size = max(1, len(kept) // 2)
    while True:
        before = len(kept)
        for end in range(len(kept), 0, -size):
            if time.monotonic() > deadline:
                return kept, False
            candidate = without(kept, kept[max(0, end - size) : end])
            if len(candidate) < len(kept) and _refuted(candidate, initial):
                kept = candidate
        if size == 1 and len(kept) == before:
            return kept, True
        size = max(1, size // 2)


def without(entries: Sequence[Entry], unwanted: Iterable[Entry]) -> list[Entry]:
    """Return the entries less those of `unwanted` that may go."""
    gone = set(unwanted)
    kept = [entry for entry in entries if entry not in gone]
    appends = any(entry.kind == APPEND for entry in entries)
    writers = [entry for entry in gone if entry.writes]
    while True:
        owed = [entry for entry in writers if _owed(entry, kept, appends)]
        if not owed:
            return sorted(kept, key=lambda entry: entry.start)
        kept.extend(owed)
        writers = [entry for entry in writers if entry not in set(owed)]


def _owed(writer: Entry, kept: Sequence[Entry], appends: bool) -> bool:
    """Whether what stays may owe its answer to the writer."""
    if appends:
        return any(entry.kind == READ and entry.end >= writer.start for entry in kept)
    return any(
        (entry.end >= writer.start and entry.expect != writer.new)
        if entry.kind == DIFFERS
        else (entry.observes and entry.expect == writer.new)
        for entry in kept
    )


def _refuted(entries: Sequence[Entry], initial: Any) -> bool:
    return Search(entries, initial).run(TRIAL_STEPS) is False
