# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Small histories for tests: a short way to write them down, and an oracle that tries every order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.models import (
    APPEND,
    CAS,
    DIFFERS,
    READ,
    WRITE,
    Entry,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.history import Operation, Outcome

SECOND = 1_000_000_000


def history(*lines: str, key: str = "r0-4") -> list[Operation]:
    """Return operations from lines such as ``n1 write 5 0-10`` or ``n2 cas 5:6 3-9 mismatch``.

    Times are in seconds. The last word is ok (the default), fail, info or mismatch; ``-`` stands for the
    value of an absent key.
    """
    return [_operation(number, line.split(), key) for number, line in enumerate(lines)]


def _operation(number: int, words: list[str], key: str) -> Operation:
    node, f, text, times = words[:4]
    end = words[4] if len(words) > 4 else "ok"
    outcome: Outcome = "fail" if end in ("fail", "mismatch") else "info" if end == "info" else "ok"
    error = None if outcome == "ok" else {"mismatch": "mismatch", "fail": "refused", "info": "timeout"}[end]
    values = [None if word == "-" else int(word) for word in text.split(":")]
    start, stop = (int(float(time) * SECOND) for time in times.split("-"))
    return Operation(
        generator="observer1-0",
        op=number,
        process=number,
        client=node,
        f=f,
        key=key,
        value=tuple(values) if f == "cas" else values[0],
        invoke_ns=start,
        complete_ns=stop,
        intended_ns=start,
        node=node,
        outcome=outcome,
        error=error,
        phase="main",
    )


def entry(kind: int, expect: Any, new: Any, start: int, end: int, open_: bool) -> Entry:
    """Return an entry without a story."""
    f = {READ: "read", DIFFERS: "cas", WRITE: "write", CAS: "cas", APPEND: "append"}[kind]
    outcome: Outcome = "info" if open_ else "ok"
    operation = Operation(
        "g", 0, 0, "n1", f, "k", None, start, None if open_ else end, start, "n1", outcome, None, "main"
    )
    return Entry(operation, kind, expect, new, start, end, open_)


def has_order(entries: Sequence[Entry], state: Any, placed: frozenset[Entry] = frozenset()) -> bool:
    """Say whether the entries have an order, by trying all of them."""
    waiting = [one for one in entries if one not in placed]
    if all(one.open for one in waiting):
        return True
    first_end = min(one.end for one in waiting if not one.open)
    return any(
        has_order(entries, _after(one, state), placed | {one})
        for one in waiting
        if one.start <= first_end and _legal(one, state)
    )


def _legal(one: Entry, state: Any) -> bool:
    if one.kind in (READ, CAS):
        return bool(one.expect == state)
    return one.kind != DIFFERS or bool(one.expect != state)


def _after(one: Entry, state: Any) -> Any:
    if one.kind == APPEND:
        return state + one.new
    return one.new if one.kind in (WRITE, CAS) else state
