# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Say why the operations of one key have no order, in one sentence that holds by itself.

Each pattern is a proof of its own: two or three operations, and the fact, looked up in the key's whole
history, that nothing else can explain them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.anomaly import who
from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.models import (
    APPEND,
    CAS,
    DIFFERS,
    READ,
    Entry,
)

NEVER = -(1 << 62)


@dataclass(frozen=True, slots=True)
class Proof:
    """Operations that cannot be explained, and the sentence that says so."""

    entries: list[Entry]
    sentence: str


class _Key:
    """The history of one key, indexed for the patterns."""

    def __init__(self, entries: Sequence[Entry], initial: Any) -> None:
        self.initial = initial
        self.entries = entries
        self.closed = sorted((entry for entry in entries if not entry.open), key=lambda entry: entry.end)
        self.writers: dict[Any, list[Entry]] = {}
        for entry in entries:
            if entry.writes:
                self.writers.setdefault(entry.new, []).append(entry)
        self.values = [entry for entry in self.closed if entry.kind != DIFFERS]
        self.ends = [entry.end for entry in self.values]
        self.latest = _running_latest(self.values)

    def origins(self, entry: Entry) -> list[Entry]:
        """Return the writers that may have left the value that `entry` saw."""
        writers = self.writers.get(entry.expect, [])
        return [writer for writer in writers if writer is not entry and writer.start <= entry.end]

    def before(self, start: int) -> Entry | None:
        """Return, of the value-setting operations complete before `start`, the one invoked last."""
        place = bisect_left(self.ends, start) - 1
        return self.latest[place] if place >= 0 else None


def prove(entries: Sequence[Entry], initial: Any) -> Proof | None:
    """Return the first pattern that fits, in order of time; None when none does."""
    if any(entry.kind == APPEND for entry in entries):
        return None
    key = _Key(entries, initial)
    for entry in key.closed:
        for pattern in (_from_nowhere, _stale, _taken_twice, _wrong_mismatch):
            proof = pattern(key, entry)
            if proof is not None:
                return proof
    return None


def _from_nowhere(key: _Key, entry: Entry) -> Proof | None:
    """Fits a value that nobody had begun to write by the time it was seen."""
    if not entry.observes or entry.expect == key.initial or key.origins(entry):
        return None
    later = [writer for writer in key.writers.get(entry.expect, []) if writer is not entry]
    if later:
        reason = f"before {who(later[0].operation)} began to write it at {_s(later[0].start)}"
    else:
        reason = "although nothing wrote it"
    return Proof([entry, *later[:1]], f"{_saw(entry)} {reason}")


def _stale(key: _Key, entry: Entry) -> Proof | None:
    """Fits a value that was overwritten before it was asked for, and that nothing wrote again."""
    if not entry.observes:
        return None
    origins = key.origins(entry)
    if not origins and entry.expect != key.initial:
        return None
    if any(writer.open for writer in origins):
        return None
    settled = max((writer.end for writer in origins), default=NEVER)
    other = key.before(entry.start)
    if other is None or other.start <= settled or _value(other) == entry.expect:
        return None
    again = "" if entry.expect is None else f" and nothing wrote {_show(entry.expect)} again"
    sentence = f"{_saw(entry)} although {_had(other)}{again}"
    return Proof([*origins, other, entry], sentence)


def _taken_twice(key: _Key, entry: Entry) -> Proof | None:
    """Fits two compare-and-sets that both replaced a value that was there only once."""
    if entry.kind != CAS or entry.expect == entry.new:
        return None
    writers = key.writers.get(entry.expect, [])
    if len(writers) + (entry.expect == key.initial) != 1:
        return None
    for other in key.closed:
        if other is entry:
            return None
        if other.kind == CAS and other.expect == entry.expect:
            sentence = (
                f"{who(other.operation)} and {who(entry.operation)} both replaced {_show(entry.expect)}, "
                f"by {_show(other.new)} and by {_show(entry.new)} at {_s(other.end)} and {_s(entry.end)}, "
                "although it was there only once"
            )
            return Proof([*writers, other, entry], sentence)
    return None


def _wrong_mismatch(key: _Key, entry: Entry) -> Proof | None:
    """Fits a failed comparison with a value that was certainly there all the while."""
    if entry.kind != DIFFERS:
        return None
    other = key.before(entry.start)
    since = NEVER if other is None else other.start
    if (key.initial if other is None else _value(other)) != entry.expect:
        return None
    if any(_may_change(writer, other, since, entry) for writer in key.entries):
        return None
    known = f"{_had(other)} and nothing changed it" if other else "nothing had been written yet"
    told = (
        f"{who(entry.operation)} was told at {_s(entry.end)} that the key did not hold {_show(entry.expect)}"
    )
    return Proof([*([other] if other else []), entry], f"{told} although {known}")


def _may_change(writer: Entry, known: Entry | None, since: int, entry: Entry) -> bool:
    """Whether `writer` may have set another value between what is known and the failed comparison."""
    if not writer.writes or writer is known or writer.new == entry.expect:
        return False
    return writer.start <= entry.end and (writer.open or writer.end >= since)


def _running_latest(values: Sequence[Entry]) -> list[Entry]:
    """Return, for each prefix, the entry that was invoked last."""
    latest: list[Entry] = []
    for entry in values:
        latest.append(entry if not latest or entry.start > latest[-1].start else latest[-1])
    return latest


def _value(entry: Entry) -> Any:
    """Return the value that the key held when the entry was done."""
    return entry.new if entry.writes else entry.expect


def _saw(entry: Entry) -> str:
    did = "read" if entry.kind == READ else "removed" if entry.new is None else "compared with and replaced"
    if entry.kind == READ and entry.expect is None:
        return f"{who(entry.operation)} found nothing at {_s(entry.end)}"
    return f"{who(entry.operation)} {did} {_show(entry.expect)} at {_s(entry.end)}"


def _had(entry: Entry) -> str:
    if entry.kind == READ:
        return f"{who(entry.operation)} read {_show(entry.expect)} by {_s(entry.end)}"
    if entry.new is None:
        return f"{who(entry.operation)} removed what was there by {_s(entry.end)}"
    return f"{_show(entry.new)} was written by {_s(entry.end)}"


def _show(value: Any) -> str:
    return "nothing" if value is None else str(value)


def _s(time_ns: int) -> str:
    return f"{time_ns / 1e9:.3f} s"


def general_sentence(entries: Sequence[Entry], smallest: bool) -> str:
    """Describe a set of operations without an order when no pattern fits."""
    start = min((entry.operation.invoke_ns for entry in entries), default=0)
    end = max((max(entry.operation.invoke_ns, _end(entry)) for entry in entries), default=0)
    which = "these" if smallest else "the"
    return (
        f"no order of {which} {len(entries)} operations between {_s(start)} and {_s(end)} "
        "explains what the clients were told"
    )


def _end(entry: Entry) -> int:
    complete = entry.operation.complete_ns
    return entry.operation.invoke_ns if entry.open or complete is None else complete
