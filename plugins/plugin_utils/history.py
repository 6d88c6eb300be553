# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read the history of a run: what every client asked, and what it was answered.

The format is JSON lines, in ``docs/records.md`` under ``history.jsonl.gz``. Each generator's part begins
with a header; a generator that was killed leaves its last line unfinished and some invocations without a
completion.
"""

from __future__ import annotations

import gc
import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ansible_collections.foundation.testbed.plugins.module_utils.load.answers import says_something

Outcome = Literal["ok", "fail", "info", "drop"]

FIELDS = (
    "type", "generator", "op", "process", "client", "f", "key", "value",
    "intended_ns", "time_ns", "node", "error", "phase",
)  # fmt: skip
OUTCOMES: tuple[Outcome, ...] = ("ok", "fail", "info", "drop")
TELLING = frozenset(
    {"read", "lookup", "register", "unregister", "poll", "subscribe"}
    | {"close", "settle", "pay", "auction", "accounts", "payment", "settlement"}
)
"""Operations whose answer tells a value."""
_HEADER_MARK = '{"format"'
_OP, _GENERATOR, _TYPE = FIELDS.index("op"), FIELDS.index("generator"), FIELDS.index("type")
_CHUNK = 1 << 20
_scan: Callable[[str, int], tuple[Any, int]] = vars(json.JSONDecoder())["scan_once"]


class HistoryError(ValueError):
    """A history file says something that its format does not allow."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of one client, from its invocation to its completion.

    ``value`` is what the system answered where its answer tells a value (what was read, who owns a name),
    else what it was asked; of a cas, the pair (expected, new). ``complete_ns`` is
    when the client had its answer or gave up, None when the history holds no completion. An ``info``
    operation may take effect after its ``complete_ns``, or never. A ``drop`` was never sent: both times say
    when.
    """

    generator: str
    op: int
    process: int
    client: str
    f: str
    key: str
    value: Any
    invoke_ns: int
    complete_ns: int | None
    intended_ns: int
    node: str | None
    outcome: Outcome
    error: str | None
    phase: str


def read_history(path: str | Path) -> list[Operation]:
    """Return the operations of a history file, gzip or plain, in order of invocation."""
    reader = _Reader(Path(path))
    collecting = gc.isenabled()
    gc.disable()  # many objects and no cycles: looking for garbage would take a third of the time
    try:
        return sorted(reader.operations(), key=lambda operation: operation.invoke_ns)
    finally:
        if collecting:
            gc.enable()


class _Reader:
    """Pairs the lines of one file into operations."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.open: dict[tuple[str, int], list[Any]] = {}
        self.closed: set[tuple[str, int]] = set()
        self.order: list[int] | None = None
        self.headed = False

    def operations(self) -> Iterator[Operation]:
        """Yield completed operations as their completions come, then those that stayed open."""
        broken: tuple[int, str] | None = None
        for number, line in self._lines():
            if broken and not line.startswith("{"):
                raise self._error(*broken)
            broken = None
            try:
                record = _decode(line)
            except ValueError as problem:
                broken = (number, f"is not JSON ({problem})")
                continue
            if isinstance(record, dict):
                self._header(number, record)
                continue
            operation = self._record(number, record)
            if operation is not None:
                yield operation
        for invocation in self.open.values():
            yield _operation(invocation, None)

    def _lines(self) -> Iterator[tuple[int, str]]:
        """Yield numbered lines; a header glued to an unfinished line becomes a line of its own."""
        for number, line in enumerate(self._text(), 1):
            at = line.find(_HEADER_MARK, 1)
            if at > 0 and _unfinished(line):
                yield number, line[:at]
                yield number, line[at:]
            elif line.strip():
                yield number, line

    def _text(self) -> Iterator[str]:
        """Yield raw lines; a gzip stream that was cut off ends where it was cut."""
        chunks: list[bytes] = []
        try:
            with self.path.open("rb") as raw:
                zipped = raw.read(2) == b"\x1f\x8b"
                raw.seek(0)
                stream = gzip.GzipFile(fileobj=raw) if zipped else raw
                while chunk := stream.read1(_CHUNK):
                    chunks.append(chunk)
        except EOFError:
            pass
        except (OSError, zlib.error) as problem:
            raise HistoryError(f"{self.path}: cannot be read: {problem}") from problem
        yield from b"".join(chunks).decode("utf-8", "replace").split("\n")

    def _header(self, number: int, record: dict[str, Any]) -> None:
        """Take the header of a part: its format and the order of its fields."""
        if record.get("format") != 1:
            raise self._error(
                number, f"is a header of format {record.get('format')!r}; only format 1 is known"
            )
        fields = record.get("fields")
        if not isinstance(fields, list) or not set(FIELDS) <= {str(field) for field in fields}:
            raise self._error(
                number, f"is a header whose fields are {fields!r}; needed are {', '.join(FIELDS)}"
            )
        self.order = None if tuple(fields) == FIELDS else [fields.index(field) for field in FIELDS]
        self.width = len(fields)
        self.headed = True

    def _record(self, number: int, record: Any) -> Operation | None:
        """Take one event; return the operation that it completes."""
        record = self._in_order(number, record)
        kind = record[_TYPE]
        name = (record[_GENERATOR], record[_OP])
        if kind == "invoke":
            if name in self.open or name in self.closed:
                raise self._error(number, f"invokes operation {name[1]} of {name[0]} a second time")
            self.open[name] = record
            return None
        if kind not in OUTCOMES:
            raise self._error(number, f"has type {kind!r}; allowed are invoke, {', '.join(OUTCOMES)}")
        invocation = record if kind == "drop" else self.open.pop(name, None)
        if invocation is None or name in self.closed:
            raise self._error(number, f"completes operation {name[1]} of {name[0]}, which is not under way")
        self.closed.add(name)
        return _operation(invocation, record)

    def _in_order(self, number: int, record: Any) -> list[Any]:
        """Return an event's fields in the order of FIELDS, its vital ones checked."""
        if not self.headed:
            raise self._error(number, "comes before any header")
        if type(record) is not list or len(record) != self.width:
            raise self._error(number, f"is not an array of {self.width} fields")
        if self.order is not None:
            record = [record[place] for place in self.order]
        if type(record[9]) is not int or type(record[8]) is not int or type(record[_OP]) is not int:
            raise self._error(number, "needs whole numbers for op, intended_ns and time_ns")
        if type(record[6]) is not str or type(record[_GENERATOR]) is not str:
            raise self._error(number, "needs strings for generator and key")
        if (
            record[5] == "cas"
            and record[_TYPE] != "drop"
            and not (type(record[7]) is list and len(record[7]) == 2)
        ):
            raise self._error(number, f"is a cas of {record[7]!r}; it needs [expected, new]")
        return record  # type: ignore[no-any-return]

    def _error(self, number: int, what: str) -> HistoryError:
        return HistoryError(f"{self.path}, line {number}: {what}")


def _unfinished(line: str) -> bool:
    try:
        _decode(line)
    except ValueError:
        return True
    return False


def _decode(line: str) -> Any:
    """Return what `json.loads` would, at half its cost."""
    try:
        record, end = _scan(line, 0)
    except StopIteration:
        return json.loads(line)
    return record if end == len(line) else json.loads(line)


def _operation(start: list[Any], end: list[Any] | None) -> Operation:
    """Join an invocation and its completion, if there is one."""
    _, generator, op, process, client, f, key, value, intended, time, node, error, phase = start
    outcome: Outcome = "info"
    complete = None
    if end is not None:
        outcome, complete, error = end[0], end[9], end[11]
        value = end[7] if f in TELLING and says_something(outcome, error) else value
        node = end[10] or node
    if f == "cas" and value is not None:  # one that was never sent was never given values
        value = (value[0], value[1])
    return Operation(
        generator, op, process, client, f, key, value, time, complete, intended, node, outcome, error, phase
    )
