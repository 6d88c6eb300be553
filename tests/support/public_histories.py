# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Public histories with known verdicts, as operations.

Two formats: the register logs of an early etcd, and key-value histories of strings, one EDN map a line.
Neither has times; the number of the line takes their place.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.models import (
    AppendModel,
    Model,
    RegisterModel,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.history import Operation, Outcome

REPO = Path(__file__).resolve().parents[2]
_ETCD = re.compile(r"jepsen\.util - (\d+)\s+:(invoke|ok|fail|info)\s+:(\w+)\s+(.+?)\s*$")
_EDN = re.compile(r'\{:process (\d+), :type :(\w+), :f :(\w+), :key "(.*?)", :value (.*)\}\s*$')


@dataclass(frozen=True)
class PublicHistory:
    """A history, the model it is of, and whether it is linearizable."""

    name: str
    operations: list[Operation]
    model: Model
    linearizable: bool


@dataclass(frozen=True)
class _Event:
    line: int
    process: int
    type: str
    f: str
    key: str
    value: Any
    error: str | None = None


def histories_folder() -> Path:
    """Return where the public histories are looked for."""
    named = os.environ.get("TESTBED_HISTORIES")
    return Path(named) if named else REPO.parent / "shared" / "histories"


def load_all(folder: Path) -> Iterator[PublicHistory]:
    """Yield every history of the folder's verdicts.json."""
    verdicts: dict[str, bool] = json.loads((folder / "verdicts.json").read_text(encoding="utf-8"))
    for name, linearizable in sorted(verdicts.items()):
        lines = (folder / name).read_text(encoding="utf-8").splitlines()
        if name.startswith("kv/"):
            yield PublicHistory(name, parse_kv(lines), AppendModel(), linearizable)
        else:
            yield PublicHistory(name, parse_etcd(lines), RegisterModel(), linearizable)


def parse_etcd(lines: Iterable[str]) -> list[Operation]:
    """Parse a register log; a failed cas is an observed mismatch."""
    return _pair(_etcd_events(lines))


def parse_kv(lines: Iterable[str]) -> list[Operation]:
    """Parse a key-value history; `nil` stands only where a get has no answer yet."""
    return _pair(_kv_events(lines))


def _etcd_events(lines: Iterable[str]) -> Iterator[_Event]:
    for number, line in enumerate(lines):
        match = _ETCD.search(line)
        if match:
            process, kind, f, text = match.groups()
            error = "timeout" if text == ":timed-out" else None
            if kind == "fail" and f == "cas":
                error = "mismatch"
            yield _Event(number, int(process), kind, f, "register", _etcd_value(text), error)


def _etcd_value(text: str) -> Any:
    if text.startswith("["):
        expected, new = text.strip("[]").split()
        return int(expected), int(new)
    return int(text) if text.lstrip("-").isdigit() else None


def _kv_events(lines: Iterable[str]) -> Iterator[_Event]:
    for number, line in enumerate(lines):
        match = _EDN.match(line)
        if match:
            process, kind, f, key, text = match.groups()
            yield _Event(number, int(process), kind, f, key, None if text == "nil" else json.loads(text))


def _pair(events: Iterable[_Event]) -> list[Operation]:
    """Join invocations and completions by process; a process that comes back after `info` is a new one."""
    running: dict[int, tuple[int, _Event]] = {}
    operations: dict[int, Operation] = {}
    count = 0
    for event in events:
        if event.type == "invoke":
            running[event.process] = (count, event)
            operations[count] = _operation(count, event, None)
            count += 1
        elif event.process in running:
            number, start = running.pop(event.process)
            operations[number] = _operation(number, start, event)
    return list(operations.values())


def _operation(number: int, start: _Event, end: _Event | None) -> Operation:
    outcome: Outcome = "info"
    value, complete, error = start.value, None, None
    if end is not None:
        complete, error = end.line, end.error
        outcome = "ok" if end.type == "ok" else "fail" if end.type == "fail" else "info"
        value = end.value if end.type == "ok" and start.f in ("read", "get") else start.value
    return Operation(
        generator="public",
        op=number,
        process=start.process,
        client=f"p{start.process}",
        f=start.f,
        key=start.key,
        value=value,
        invoke_ns=start.line,
        complete_ns=complete,
        intended_ns=start.line,
        node=None,
        outcome=outcome,
        error=error,
        phase="main",
    )
