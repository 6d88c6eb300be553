# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Search for an order of the operations of one key that explains every answer.

The search of Wing and Gong with Lowe's memory of configurations. A configuration is: the first completed
operation (by completion) that has no place yet, which later ones have one, which open operations were used,
and the state.

What keeps it small, none of which loses an order or invents one:

* A read-only operation that agrees with the state takes its place at once, since it moves nothing.
* A value that only one operation wrote cannot come back, so the state may leave it only when all who saw it
  are placed; else the branch is dead.
* Values that nobody compares with are one value, JUNK: nothing can tell them apart.
* An open operation is used only when it lets an operation pass that waits right now. In an order with as few
  open operations as possible, each is followed by one that the state before it would have refused.
* Of open operations with the same effect the earliest is used first: none ever has to end.
* A configuration is dead if one with the same places and state but fewer open operations spent was seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.models import (
    APPEND,
    CAS,
    DIFFERS,
    READ,
    WRITE,
    Entry,
)


class _Junk:
    """The one state that stands for all values that nobody compares with."""


JUNK = _Junk()


class _Kin(NamedTuple):
    """Open operations with the same effect, in order of invocation."""

    kind: int
    expect: Any
    new: Any
    members: list[int]


class Node(NamedTuple):
    """A configuration: `mask` has bit i for operation `first + i`; `used` a bit for each open operation."""

    first: int
    mask: int
    used: int
    state: Any


class Search:
    """A search that can be resumed: `run` spends some steps and says what is known by then."""

    def __init__(self, entries: Sequence[Entry], initial: Any) -> None:
        closed = sorted((entry for entry in entries if not entry.open), key=lambda entry: entry.end)
        opened = sorted((entry for entry in entries if entry.open), key=lambda entry: entry.start)
        self.count = len(closed)
        self.appends = any(entry.kind == APPEND for entry in entries)
        self.compared = {entry.expect for entry in entries if entry.kind in (READ, CAS, DIFFERS)}
        self.kinds = [entry.kind for entry in closed]
        self.expects = [entry.expect for entry in closed]
        self.news = [self._named(entry.new) for entry in closed]
        self.windows = _windows(closed)
        self.last_differs = max((i for i, kind in enumerate(self.kinds) if kind == DIFFERS), default=-1)
        self._index_open(opened, closed)
        start = self._named(initial)
        self._index_guards(opened, start)
        self.steps = 0
        self.seen: dict[tuple[int, int, Any], tuple[int, ...]] = {}
        self.stack: list[Node] = []
        self.verdict: bool | None = None
        self._visit(0, 0, 0, start)

    def run(self, steps: int) -> bool | None:
        """Search on for at most so many steps: True when an order was found, False when there is none."""
        limit = self.steps + steps
        while self.verdict is None and self.steps < limit:
            if not self.stack:
                self.verdict = False
                break
            self.steps += 1
            node = self.stack.pop()
            # The stack pops the last one first, so the most promising move is visited last.
            for move in reversed(self._moves(node)):
                self._visit(*move)
        if self.verdict is not None:
            self.stack, self.seen = [], {}
        return self.verdict

    def _named(self, value: Any) -> Any:
        return value if self.appends or value in self.compared else JUNK

    def _index_open(self, opened: list[Entry], closed: list[Entry]) -> None:
        """Group the open operations by effect, and count those invoked by each completion."""
        kin: dict[tuple[int, Any, Any], _Kin] = {}
        for place, entry in enumerate(opened):
            name = (entry.kind, entry.expect, self._named(entry.new))
            kin.setdefault(name, _Kin(*name, [])).members.append(place)
        self.kin = list(kin.values())
        self.kin_by_new: dict[Any, list[_Kin]] = {}
        for one in self.kin:
            self.kin_by_new.setdefault(one.new, []).append(one)
        self.limits: list[int] = []
        count = 0
        for entry in closed:
            while count < len(opened) and opened[count].start <= entry.end:
                count += 1
            self.limits.append(count)

    def _index_guards(self, opened: list[Entry], start: Any) -> None:
        """For each value that can come up only once, note who saw it."""
        self.guards: dict[Any, list[int]] = {}
        if self.appends:
            return
        writers = Counter(new for new, kind in zip(self.news, self.kinds, strict=True) if kind >= WRITE)
        writers.update(self._named(entry.new) for entry in opened)
        writers[start] += 1
        self.guards = {value: [] for value, times in writers.items() if times == 1}
        for place, kind in enumerate(self.kinds):
            if kind in (READ, CAS) and self.expects[place] in self.guards:
                self.guards[self.expects[place]].append(place)
        self.open_expects = {entry.expect for entry in opened if entry.kind == CAS}

    def _visit(self, first: int, mask: int, used: int, state: Any) -> None:
        """Settle a configuration and put it on the stack unless it is known or beaten."""
        first, mask, state = self._settle(first, mask, state)
        if first == self.count:
            self.verdict = True
            return
        key = (first, mask, state)
        known = self.seen.get(key)
        if known is None:
            self.seen[key] = (used,)
        elif any(not fewer & ~used for fewer in known):
            return
        else:
            self.seen[key] = (*(other for other in known if used & ~other), used)
        self.stack.append(Node(first, mask, used, state))

    def _settle(self, first: int, mask: int, state: Any) -> tuple[int, int, Any]:
        """Place at once whatever can be placed without loss."""
        kinds, expects = self.kinds, self.expects
        while first < self.count:
            for place in self.windows[first]:
                bit = 1 << (place - first)
                if mask & bit:
                    continue
                kind = kinds[place]
                if kind == READ:
                    if expects[place] == state:
                        mask |= bit
                elif kind == DIFFERS and expects[place] != state:
                    mask |= bit
            if not mask & 1:
                junk = self._harmless(first, mask, state)
                if junk is None:
                    break
                mask |= 1 << (junk - first)
                state = JUNK
            while mask & 1:
                mask >>= 1
                first += 1
        return first, mask, state

    def _harmless(self, first: int, mask: int, state: Any) -> int | None:
        """Return a waiting write of JUNK that costs nothing: nobody will ask for the state it overwrites.

        While failed comparisons are still to come this does not hold: the write may serve one of them later.
        """
        if self.appends or first <= self.last_differs:
            return None
        if state is not JUNK and (
            state not in self.guards or state in self.open_expects or self._pending(first, mask, state)
        ):
            return None
        for place in self.windows[first]:
            if self.kinds[place] == WRITE and self.news[place] is JUNK and not mask >> (place - first) & 1:
                return place
        return None

    def _pending(self, first: int, mask: int, state: Any) -> list[int]:
        """Return who saw this state, which cannot come back, and has no place yet."""
        return [
            place
            for place in self.guards.get(state, ())
            if place >= first and not mask >> (place - first) & 1
        ]

    def _moves(self, node: Node) -> list[Node]:
        """Return the configurations one placement further, the most promising first."""
        first, mask, _, state = node
        pending = self._pending(first, mask, state)
        if pending:
            place = pending[0]
            fits = len(pending) == 1 and self.kinds[place] == CAS and place in self.windows[first]
            return [self._placed(node, place)] if fits else []
        moves = [self._placed(node, place) for place in self._fitting(node)]
        if self.kinds[first] in (READ, CAS):
            needed = self.expects[first]
            moves.sort(key=lambda move: move.state != needed)
        if self.kin:
            moves.extend(self._opened(node, one, place) for one, place in self._useful(node))
        return moves

    def _fitting(self, node: Node) -> Iterator[int]:
        """Yield the completed operations that may come next and change the state."""
        first, mask, _, state = node
        for place in self.windows[first]:
            if mask >> (place - first) & 1:
                continue
            kind = self.kinds[place]
            if kind in (WRITE, APPEND) or (kind == CAS and self.expects[place] == state):
                yield place

    def _placed(self, node: Node, place: int) -> Node:
        first, mask, used, state = node
        new = self.news[place]
        state = state + new if self.kinds[place] == APPEND else new
        return Node(first, mask | 1 << (place - first), used, state)

    def _opened(self, node: Node, one: _Kin, place: int) -> Node:
        state = node.state + one.new if one.kind == APPEND else one.new
        return Node(node.first, node.mask, node.used | 1 << place, state)

    def _useful(self, node: Node) -> Iterator[tuple[_Kin, int]]:
        """Yield open operations that let a waiting operation pass, alone or as links of a chain."""
        state = node.state
        if self.appends:
            yield from self._available(node, self.kin)
            return
        wanted, blocked = self._waiting(node)
        asked = set(wanted)
        while wanted:
            for one, place in self._available(node, self.kin_by_new.get(wanted.pop(), [])):
                if one.kind == WRITE or one.expect == state:
                    yield one, place
                elif one.expect not in asked:
                    asked.add(one.expect)
                    wanted.append(one.expect)
        if blocked:
            for one, place in self._available(node, self.kin):
                fits = one.kind == WRITE or one.expect == state
                if fits and one.new != state and one.new not in asked:
                    yield one, place

    def _waiting(self, node: Node) -> tuple[list[Any], bool]:
        """Return the states that waiting operations need, and whether one waits for the state to change."""
        wanted, blocked = set(), False
        for place in self.windows[node.first]:
            if node.mask >> (place - node.first) & 1:
                continue
            if self.kinds[place] == DIFFERS:
                blocked = True
            elif self.kinds[place] != WRITE and self.expects[place] != node.state:
                wanted.add(self.expects[place])
        return list(wanted), blocked

    def _available(self, node: Node, kin: list[_Kin]) -> Iterator[tuple[_Kin, int]]:
        """Yield, of each kin, the earliest operation that is not used yet, if it was invoked by now."""
        limit = self.limits[node.first]
        for one in kin:
            for place in one.members:
                if place >= limit:
                    break
                if not node.used >> place & 1:
                    yield one, place
                    break


def _windows(closed: list[Entry]) -> list[list[int]]:
    """Return for each operation itself and the later ones that were invoked by its completion."""
    by_start = sorted(range(len(closed)), key=lambda place: closed[place].start)
    windows: list[list[int]] = []
    active: list[int] = []
    nexts = 0
    for first, entry in enumerate(closed):
        while nexts < len(by_start) and closed[by_start[nexts]].start <= entry.end:
            active.append(by_start[nexts])
            nexts += 1
        active = sorted(place for place in active if place >= first)
        windows.append(active.copy())
    return windows
