# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A plan for people, before it runs: what it is about, its events in order of time, a small chart. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils.fault_words import (
    detail,
    on_state,
    state_words,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.ledger_entry import number

WIDTH = 100
# Rows of a table or a chart that are shown of a plan with more.
MAX_EVENTS, MAX_FAULTS, MAX_NODES = 60, 40, 40
NAME_WIDTH = 16
QUIET, SEVERAL = ".", "#"


def overview(plan: Mapping[str, Any]) -> str:
    """Describe the plan in a few lines, before it runs."""
    faults = [
        f"fault     {fault['id']}: {fault['start_s']} s to {fault['end_s']} s{on_state(fault)}, "
        + detail(fault)
        for fault in plan["faults"]
    ]
    return "\n".join([*_head(plan), *_capped(faults, MAX_FAULTS, "faults"), *_promises(plan)])


def timeline(plan: Mapping[str, Any]) -> str:
    """Return the whole plan as text: what it is about, a table of its events, a chart of its nodes."""
    events = _capped(event_lines(plan["faults"]), MAX_EVENTS, "events")
    return "\n".join([
        *_head(plan), *_promises(plan), "", *(events or ["no fault"]), "", *chart(plan),
    ])  # fmt: skip


def _head(plan: Mapping[str, Any]) -> Iterator[str]:
    scenario = plan["scenario"]
    yield (
        f"scenario  {_printable(scenario['title'])} ({scenario['name']}), seed {plan['seed']}, "
        f"{plan['duration_s']:g} s on {len(plan['nodes'])} nodes of {plan['testbed_id']}"
    )
    if scenario.get("options"):
        yield "options   " + ", ".join(f"{name}={value}" for name, value in scenario["options"].items())
    for part in plan["load"]:
        yield (
            f"load      {rate_words(part)} from {part['observer']}, {timeout_words(part)}, "
            f"{part['workload']} on {part['system']}, "
            f"clients: {', '.join(client['name'] for client in part['clients'])}"
        )


def rate_words(part: Mapping[str, Any]) -> str:
    """Say at which rate a generator sends, and what was asked of it where the cluster bears less."""
    rate = number(part.get("rate_per_s"), 0.0)
    asked = number(part.get("asked_rate_per_s"), rate)
    lowered = f" ({asked:g} asked, max_rate of the cluster)" if asked != rate else ""
    return f"{rate:g} operations/s{lowered}"


def timeout_words(part: Mapping[str, Any]) -> str:
    """Say how long a generator waits for an answer, and what was asked where the cluster needs longer."""
    timeout_s = number(part.get("operation_timeout_s"), 0.0)
    asked_s = number(part.get("asked_operation_timeout_s"), timeout_s)
    longer = f" ({asked_s:g} s asked, min_operation_timeout of the cluster)" if asked_s != timeout_s else ""
    return f"time-out {timeout_s:g} s{longer}"


def _promises(plan: Mapping[str, Any]) -> Iterator[str]:
    for item in plan["criteria"]:
        yield f"criterion {item['name']} {item['comparison']} {item['threshold']:g}"
    for item in plan.get("steady_state", ()):
        wait = f"again {plan['recovery_wait_s']:g} s after the end at the latest"
        yield f"steady    {_steady_words(item)}, {wait}"
    for item in plan.get("abort_conditions", ()):
        side = "above" if "above" in item else "below"
        yield f"abort     when {item['measure']} is {side} {item[side]:g} for {item['for_s']:g} s"


def _steady_words(item: Mapping[str, Any]) -> str:
    if "promql" in item:
        bound = next(key for key in item if key != "promql")
        return f"{_printable(item['promql'])} {bound.replace('_', ' ')} {item[bound]:g}"
    return f"{state_words(item)} on {'all nodes' if item['nodes'] == 'all' else 'some node'}"


def _printable(text: str) -> str:
    """Return a text on one line, without what would steer a terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def _capped(lines: Sequence[str], most: int, what: str) -> list[str]:
    """Return so many lines at most, and how many were left out."""
    left_out = len(lines) - most
    return [*lines[:most], *([f"... and {left_out} more {what}, left out here"] if left_out > 0 else [])]


def event_lines(faults: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each begin and each end, in order of time; at one instant the ends first."""
    events = []
    for fault in faults:
        ends = "at most until" if {"when", "until"} & set(fault) else "ends"
        begins = "waits" if "when" in fault else "begins"
        events.append((fault["end_s"], 0, ends, fault["id"], ""))
        events.append((fault["start_s"], 1, begins, fault["id"], detail(fault) + on_state(fault)))
    events.sort(key=lambda event: event[:2])
    return [
        _cut(f"{f'{at_s:g} s':>10}  {what:<13}  {fault_id:<21}  {words}".rstrip(), WIDTH)
        for at_s, _order, what, fault_id, words in events
    ]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


def chart(plan: Mapping[str, Any], width: int = WIDTH) -> list[str]:
    """Return a row for each node over time, a letter for each kind of fault; at most `width` wide."""
    letters = letters_of(sorted({fault["type"] for fault in plan["faults"]}))
    names = [node["name"] for node in plan["nodes"]]
    label = min(NAME_WIDTH, max(map(len, names)))
    columns, duration_s = width - label - 1, plan["duration_s"]
    rows = [
        f"{_cut(name, label):<{label}} {_row(name, plan['faults'], letters, columns, duration_s)}"
        for name in names
    ]
    end = f"{duration_s:g} s"
    axis = f"{'':<{label}} 0 s{end:>{columns - 3}}"
    legend = [f"{letter} {kind}" for kind, letter in letters.items()]
    if any(SEVERAL in row[label:] for row in rows):
        legend.append(f"{SEVERAL} several kinds")
    if any({"when", "where"} & set(fault) for fault in plan["faults"]):
        legend.append("small: only where, and when, a state of the system asks for it")
    per_s = f"one column is {duration_s / columns:.3g} s"
    return [*_capped(rows, MAX_NODES, "nodes"), axis, _cut("  ".join([*legend, per_s]), width)]


def letters_of(kinds: Sequence[str]) -> dict[str, str]:
    """Return a letter for each kind: the first of its own that is still free, else any."""
    letters: dict[str, str] = {}
    for kind in kinds:
        own = [letter for letter in kind.upper() if letter.isalpha()]
        anyone = [chr(ord("A") + i) for i in range(26)]
        letters[kind] = next(letter for letter in [*own, *anyone] if letter not in letters.values())
    return letters


def _row(
    name: str,
    faults: Sequence[Mapping[str, Any]],
    letters: Mapping[str, str],
    columns: int,
    duration_s: float,
) -> str:
    cells: list[set[str]] = [set() for _ in range(columns)]
    for fault in faults:
        if name in fault["targets"]:
            letter = letters[fault["type"]]
            first = min(columns - 1, math.floor(fault["start_s"] / duration_s * columns))
            last = min(columns, max(first + 1, math.ceil(fault["end_s"] / duration_s * columns - 1e-9)))
            for cell in cells[first:last]:
                cell.add(letter.lower() if {"when", "where"} & set(fault) else letter)
    return "".join(_cell(cell) for cell in cells)


def _cell(letters: set[str]) -> str:
    kinds = {letter.upper() for letter in letters}
    return QUIET if not kinds else SEVERAL if len(kinds) > 1 else min(letters)
