# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lay out the operations of an anomaly as a space-time diagram: a lane per process, a bar per operation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils.ledger_entry import number

WIDTH = 720.0
LEFT = 150.0
RIGHT = 24.0
LANE = 40.0
TOP = 10.0
LETTER = 7.2
MIN_BAR = 5.0

Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Bar:
    """One operation: its place in the picture, and what to say about it."""

    x: float
    y: float
    width: float
    text_x: float
    label: str
    outcome: str
    open: bool
    title: str


@dataclass(frozen=True, slots=True)
class Diagram:
    """A picture of ``height`` by WIDTH units; lanes are (y, name), ticks (x, text)."""

    width: float
    height: float
    left: float
    right: float
    lanes: list[tuple[float, str]]
    bars: list[Bar]
    ticks: list[tuple[float, str]]


def diagram(anomaly: Entry) -> Diagram | None:
    """Return the picture of an anomaly, or None if it names no operation with a time."""
    operations = [
        op for op in anomaly.get("operations") or [] if isinstance(op.get("invoke_s"), (int, float))
    ]
    if not operations:
        return None
    scale = _Scale(operations)
    names = list(dict.fromkeys(_lane(op) for op in sorted(operations, key=lambda op: op["invoke_s"])))
    rows = {name: TOP + place * LANE for place, name in enumerate(names)}
    height = TOP + LANE * len(names) + 28.0
    return Diagram(
        width=WIDTH, height=height, left=LEFT, right=WIDTH - RIGHT,
        lanes=[(y + LANE / 2, name) for name, y in rows.items()],
        bars=_bars(operations, rows, scale), ticks=scale.ticks(),
    )  # fmt: skip


def label(op: Entry) -> str:
    """Return a short name such as ``w 171``, ``r 171`` or ``cas 3→4``."""
    f, value = str(op.get("f")), op.get("value")
    if f == "cas" and isinstance(value, (list, tuple)) and len(value) == 2:
        return f"cas {_value(value[0])}→{_value(value[1])}"
    return f"{ {'read': 'r', 'write': 'w'}.get(f, f) } {_value(value)}"


class _Scale:
    """Times to places. Long stretches in which nothing begins or ends are drawn short."""

    def __init__(self, operations: Sequence[Entry]) -> None:
        times = {float(op["invoke_s"]) for op in operations}
        times |= {number(op.get("complete_s"), float(op["invoke_s"])) for op in operations}
        self.times = sorted(times)
        steps = [after - before for before, after in zip(self.times, self.times[1:], strict=False)]
        room = WIDTH - LEFT - RIGHT - 60.0
        shares = [step**0.35 for step in steps]
        whole = sum(shares) or 1.0
        self.places = [LEFT + 10.0]
        for share in shares:
            self.places.append(self.places[-1] + room * share / whole)

    def x(self, time_s: float) -> float:
        """Return the place of a time at which an operation begins or ends."""
        return self.places[self.times.index(time_s)]

    def ticks(self) -> list[tuple[float, str]]:
        """Return places and texts of times, as many as fit."""
        found: list[tuple[float, str]] = []
        for place, time_s in zip(self.places, self.times, strict=True):
            if not found or place - found[-1][0] >= 74.0:
                found.append((place, f"{time_s:.3f} s"))
        return found


def _bars(operations: Sequence[Entry], rows: Mapping[str, float], scale: _Scale) -> list[Bar]:
    bars = []
    for op in sorted(operations, key=lambda op: op["invoke_s"]):
        complete_s = op.get("complete_s")
        is_open = op.get("outcome") == "info" or not isinstance(complete_s, (int, float))
        x = scale.x(float(op["invoke_s"]))
        end = WIDTH - RIGHT if is_open else scale.x(float(complete_s or 0.0))
        text = label(op)
        text_x = min(x, WIDTH - RIGHT - LETTER * len(text))
        bars.append(
            Bar(
                x=x, y=rows[_lane(op)], width=max(end - x, MIN_BAR), text_x=text_x, label=text,
                outcome=str(op.get("outcome")), open=is_open, title=_title(op),
            )
        )  # fmt: skip
    return bars


def _lane(op: Entry) -> str:
    client, node = str(op.get("client")), op.get("node")
    asked = client if node in (None, client) else f"{client} → {node}"
    return f"p{op.get('process')} {asked}"


def _title(op: Entry) -> str:
    complete_s = op.get("complete_s")
    ended = f"{complete_s:.6f} s" if isinstance(complete_s, (int, float)) else "never"
    return f"{label(op)}: {op.get('outcome')}, from {op['invoke_s']:.6f} s to {ended}"


def _value(value: Any) -> str:
    return "∅" if value is None else str(value)
