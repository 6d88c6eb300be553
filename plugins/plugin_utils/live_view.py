# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a terminal shows while a run goes on: time, faults, load, and a lane for each node."""

from __future__ import annotations

import io
import os
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils.abort import Sample, error_rate, throughput
from ansible_collections.foundation.testbed.plugins.plugin_utils.progress import (
    fault_words,
    load_words,
    when_words,
)
from rich.console import Console
from rich.text import Text

BARS = " ▁▂▃▄▅▆▇█"
# Columns of the names, and at most of the time axis; what is right of it is cropped where there is no room.
NAME_WIDTH, AXIS_WIDTH, WORDS_WIDTH = 22, 60, 46
# Lines that stay free above the view, so that drawing it anew never scrolls.
FREE_LINES = 2
UP_AND_CLEAR = "\x1b[{lines}F\x1b[J"

Cell = tuple[str, str]
"""A character and its style."""


@dataclass(frozen=True)
class Axis:
    """The whole run in so many columns, and what was heard of it so far."""

    plan: Mapping[str, Any]
    now_s: float
    samples: Sequence[Sample]
    width: int
    times: list[float] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "times", [sample["t_s"] for sample in self.samples])

    def spans_s(self) -> list[tuple[float, float]]:
        """Begin and end of each column."""
        column_s = self.plan["duration_s"] / self.width
        return [(i * column_s, (i + 1) * column_s) for i in range(self.width)]

    def step(self, span_s: tuple[float, float]) -> tuple[Sample, Sample] | None:
        """Return the samples at the begin and the end of a column; None where there is nothing between."""
        first = max(bisect_right(self.times, span_s[0]) - 1, 0)
        last = bisect_right(self.times, span_s[1]) - 1
        if last <= first and len(self.times) > last + 1:
            last += 1  # columns narrower than the time between two samples
        return (self.samples[first], self.samples[last]) if 0 <= first < last else None

    def cells(self, cell: Callable[[tuple[float, float]], Cell]) -> Text:
        """Draw a row, column by column."""
        return Text.assemble(*(cell(span_s) for span_s in self.spans_s()))


def rows(plan: Mapping[str, Any], now_s: float, samples: Sequence[Sample], columns: int) -> list[Text]:
    """Return the view, one line each: time, faults, load, errors, nodes."""
    axis = Axis(plan, now_s, samples, max(10, min(AXIS_WIDTH, columns - NAME_WIDTH - WORDS_WIDTH)))
    faults = [_row(fault["id"], _fault(axis, fault), _said(fault, now_s)) for fault in _near(plan, now_s)]
    nodes = [
        _row(node["name"], _node(axis, node["name"]), _state(axis, node["name"])) for node in plan["nodes"]
    ]
    return [
        _row("time", axis.cells(lambda span: _time(axis, span)), when_words(plan, now_s)),
        *(faults or [_row("faults", axis.cells(lambda _span: ("·", "dim")), "no fault to come")]),
        _row("answered/s", axis.cells(lambda span: _rate(axis, span)), load_words(samples[-1:])),
        _row("errors", axis.cells(lambda span: _errors(axis, span)), _error_words(samples)),
        *nodes,
    ]


def fitting(lines: Sequence[Text], height: int) -> list[Text]:
    """Return as many lines as the terminal has room for, and say how many are missing."""
    room = max(height - FREE_LINES, 2)
    if len(lines) <= room:
        return list(lines)
    return [
        *lines[: room - 1],
        Text(f"… {len(lines) - room + 1} more lines; the terminal has no room", "dim"),
    ]


def drawn(lines: Sequence[Text], columns: int, environment: Mapping[str, str] | None = None) -> str:
    """Return the lines as a terminal understands them, each cut at its width."""
    known = os.environ if environment is None else environment
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=columns, legacy_windows=False, _environ=known)
    for line in lines:
        console.print(line, no_wrap=True, overflow="crop", crop=True, highlight=False)
    return file.getvalue()


def over(previous: int, text: str) -> str:
    """Draw over so many lines before."""
    return (UP_AND_CLEAR.format(lines=previous) if previous else "") + text


def _row(name: str, lane: Text, words: str) -> Text:
    return Text.assemble((f"{name[: NAME_WIDTH - 2]:<{NAME_WIDTH - 1}}", "bold"), lane, f"  {words}")


def _near(plan: Mapping[str, Any], now_s: float) -> list[Mapping[str, Any]]:
    """Return the faults that are active, or the next one; those that are over are in the nodes' lanes."""
    active = [fault for fault in plan["faults"] if fault["start_s"] <= now_s < fault["end_s"]]
    to_come = [fault for fault in plan["faults"] if fault["start_s"] > now_s]
    return active or sorted(to_come, key=lambda fault: float(fault["start_s"]))[:1]


def _said(fault: Mapping[str, Any], now_s: float) -> str:
    if fault["start_s"] > now_s:
        return f"next: {fault['type']} in {fault['start_s'] - max(now_s, 0):.0f} s"
    return fault_words(fault, now_s)


def _time(axis: Axis, span_s: tuple[float, float]) -> Cell:
    return ("━", "cyan") if span_s[0] < axis.now_s else ("─", "dim")


def _fault(axis: Axis, fault: Mapping[str, Any]) -> Text:
    def cell(span_s: tuple[float, float]) -> Cell:
        if not (fault["start_s"] < span_s[1] and span_s[0] < fault["end_s"]):
            return ("·", "dim")
        return ("█", "yellow") if span_s[0] <= axis.now_s else ("░", "yellow")

    return axis.cells(cell)


def _node(axis: Axis, node: str) -> Text:
    """Draw a node's lane: whether it answered clients, and whether a fault was about it."""
    faults = [fault for fault in axis.plan["faults"] if node in fault["targets"]]

    def cell(span_s: tuple[float, float]) -> Cell:
        hit = any(fault["start_s"] < span_s[1] and span_s[0] < fault["end_s"] for fault in faults)
        step = axis.step(span_s) if span_s[0] < axis.now_s else None
        answers = None if step is None else answering(node, *step)
        if answers is None:
            return ("·", "dim")
        if answers:
            return ("▆", "yellow") if hit else ("▆", "green")
        return ("░", "red")

    return axis.cells(cell)


def answering(node: str, before: Sample, after: Sample) -> bool | None:
    """Whether a node answered clients between two samples; None where it was not asked."""
    first, last = (sample["nodes"].get(node, {"asked": 0, "answered": 0}) for sample in (before, after))
    if last["answered"] > first["answered"]:
        return True
    return False if last["asked"] > first["asked"] else None


def _state(axis: Axis, node: str) -> str:
    """Say how a node is: whether it answers, and what is done to it by plan."""
    active = [
        f"{fault['type']} ({fault['id']})"
        for fault in axis.plan["faults"]
        if node in fault["targets"] and fault["start_s"] <= axis.now_s < fault["end_s"]
    ]
    answers = None if len(axis.samples) < 2 else answering(node, axis.samples[-2], axis.samples[-1])
    word = {True: "answers", False: "answers nothing", None: "not asked"}[answers]
    return ", ".join([word, *active])


def _rate(axis: Axis, span_s: tuple[float, float]) -> Cell:
    planned = sum(part["rate_per_s"] for part in axis.plan["load"])
    step = axis.step(span_s) if span_s[0] < axis.now_s else None
    value = None if step is None else throughput(*step)
    return ("·", "dim") if value is None or not planned else (_bar(value / planned), "green")


def _errors(axis: Axis, span_s: tuple[float, float]) -> Cell:
    step = axis.step(span_s) if span_s[0] < axis.now_s else None
    value = None if step is None else error_rate(*step)
    return ("·", "dim") if value is None else (_bar(value), "red")


def _bar(share: float) -> str:
    return BARS[min(len(BARS) - 1, max(0, -int(-share * (len(BARS) - 1) // 1)))]


def _error_words(samples: Sequence[Sample]) -> str:
    if not samples:
        return "none yet"
    share = error_rate(samples[-2], samples[-1]) if len(samples) > 1 else None
    now = "" if share is None else f", {share:.0%} now"
    return f"{samples[-1]['unanswered']} without an answer{now}"
