# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an operation says about the state of one key, and what it does to it.

A model turns an operation into an :class:`Entry`, a step of a small closed set that the search understands:
reading a value, seeing that the state differs from a value, writing, comparing and setting, appending.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ansible_collections.foundation.testbed.plugins.plugin_utils.history import Operation

READ: Final = 0  # the state equals `expect`
DIFFERS: Final = 1  # the state does not equal `expect`
WRITE: Final = 2  # the state becomes `new`
CAS: Final = 3  # the state equals `expect` and becomes `new`
APPEND: Final = 4  # the state becomes itself followed by `new`


@dataclass(frozen=True, slots=True)
class Effect:
    """One step: its kind, the state it needs (or excludes) and the state it leaves."""

    kind: int
    expect: Any = None
    new: Any = None


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """An operation of one key as the search sees it.

    It took effect at one instant in [start, end]; when `open`, at any instant from start on, or never.
    """

    operation: Operation
    kind: int
    expect: Any
    new: Any
    start: int
    end: int
    open: bool

    @property
    def writes(self) -> bool:
        """Whether the entry changes the state."""
        return self.kind >= WRITE

    @property
    def observes(self) -> bool:
        """Whether the entry proves that the state held `expect`."""
        return self.kind in (READ, CAS)


class Model(Protocol):
    """The kind of object that lives under a key."""

    @property
    def initial(self) -> Any:
        """The state before the first operation."""

    def effect(self, operation: Operation) -> Effect | None:
        """Return what the operation means; None when it says nothing about the state."""


@dataclass(frozen=True)
class RegisterModel:
    """One value: read, write, compare-and-set. A failed comparison is an answer too."""

    initial: Any = None

    def effect(self, operation: Operation) -> Effect | None:
        """Return the step of a register operation."""
        done, open_ = operation.outcome == "ok", operation.outcome == "info"
        if operation.f == "read":
            return Effect(READ, expect=operation.value) if done else None
        if operation.f == "write":
            return Effect(WRITE, new=operation.value) if done or open_ else None
        if operation.f != "cas":
            raise ValueError(f"a register knows read, write and cas, not {operation.f!r}")
        expected, new = operation.value
        if done or open_:
            return Effect(CAS, expected, new)
        mismatch = operation.outcome == "fail" and operation.error == "mismatch"
        return Effect(DIFFERS, expected) if mismatch else None


@dataclass(frozen=True)
class RegistryModel:
    """The owner of one name, None while nobody has it; an answer in the negative tells who has it.

    The value of an operation is what was answered: the owner that was registered, found, or unregistered.
    """

    initial: Any = None

    def effect(self, operation: Operation) -> Effect | None:
        """Return the step of an operation on a name."""
        done, open_ = operation.outcome == "ok", operation.outcome == "info"
        owner, error = operation.value, operation.error
        if operation.f == "lookup":
            return Effect(READ, expect=owner) if done else None
        if operation.f == "register":
            if done or open_:
                return Effect(CAS, None, owner)
            taken = operation.outcome == "fail" and error == "already_registered"
            return Effect(READ, expect=owner) if taken else None
        if operation.f != "unregister":
            raise ValueError(f"a registry knows lookup, register and unregister, not {operation.f!r}")
        if done:
            return Effect(CAS, owner, None)
        if open_:  # it takes the name from whoever has it
            return Effect(WRITE, new=None)
        absent = operation.outcome == "fail" and error == "not_found"
        return Effect(READ, expect=None) if absent else None


@dataclass(frozen=True)
class AppendModel:
    """One string: get, put, append. A key that was never written reads as empty."""

    initial: str = ""

    def effect(self, operation: Operation) -> Effect | None:
        """Return the step of a string operation."""
        done = operation.outcome == "ok"
        if operation.f == "get":
            return Effect(READ, expect=operation.value) if done else None
        if operation.f not in ("put", "append"):
            raise ValueError(f"a string knows get, put and append, not {operation.f!r}")
        kind = WRITE if operation.f == "put" else APPEND
        return Effect(kind, new=operation.value) if done or operation.outcome == "info" else None


def entries_by_key(
    operations: Iterable[Operation], model: Model, clock_error_ns: int = 0
) -> dict[str, list[Entry]]:
    """Return the entries of each key in order of invocation.

    Operations that say nothing are left out. Where generators' clocks differ, each interval is widened by the
    bound on their error: that only forgets order in time, so it can hide a violation but never make one up.
    """
    keys: dict[str, list[Entry]] = {}
    for operation in operations:
        effect = model.effect(operation)
        entries = keys.setdefault(operation.key, [])
        if effect is not None:
            entries.append(_entry(operation, effect, clock_error_ns))
    for entries in keys.values():
        entries.sort(key=lambda entry: entry.start)
    return keys


def _entry(operation: Operation, effect: Effect, clock_error_ns: int) -> Entry:
    open_ = operation.outcome == "info" or operation.complete_ns is None
    start = operation.invoke_ns - clock_error_ns
    end = operation.invoke_ns if operation.complete_ns is None else operation.complete_ns
    return Entry(
        operation, effect.kind, effect.expect, effect.new, start, max(start, end + clock_error_ns), open_
    )
