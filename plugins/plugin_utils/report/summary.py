# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The verdict as an aligned table for the terminal, in at most MAX_LINES lines."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils.report.words import amount

MAX_LINES = 30
WIDTH = 110
REASONS = 6

Entry = Mapping[str, Any]


def verdict_table(results: Entry) -> str:
    """Return criteria, checks, faults and reasons of results.json as text."""
    head = [f"{results.get('scenario')}  seed {results.get('seed')}  verdict {_verdict(results)}"]
    reasons = _reasons(list(results.get("reasons") or []))
    rows = _rows(results)
    room = MAX_LINES - len(head) - len(reasons) - 1
    if len(rows) > room:
        rows = [*rows[: room - 1], (f"… and {len(rows) - room + 1} more", "", "", "", "")]
    table = _aligned([("name", "threshold", "actual", "unit", "verdict"), *rows])
    return "\n".join([*head, *table, *reasons])


def _verdict(results: Entry) -> str:
    return str(results.get("verdict")).upper()


def _rows(results: Entry) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        (
            str(item.get("name")), f"{item.get('comparison')} {item.get('threshold')}",
            _number(item.get("actual")), str(item.get("unit")), str(item.get("verdict")),
        )
        for item in results.get("criteria") or []
    ]  # fmt: skip
    rows += [(f"check {item.get('name')}", *_check(item)) for item in results.get("checks") or []]
    rows += [(f"fault {item.get('id')}", *_fault(item)) for item in results.get("faults") or []]
    return rows


def _check(check: Entry) -> tuple[str, str, str, str]:
    detail, found = check.get("detail") or {}, len(check.get("anomalies") or [])
    return "0 anomalies", str(found), f"of {detail.get('keys', '?')} keys", str(check.get("verdict"))


def _fault(fault: Entry) -> tuple[str, str, str, str]:
    skew = f"skew {amount(fault.get('skew_ms'), 'ms')}"
    return (
        "proved",
        "yes" if fault.get("proved") else "no",
        skew,
        "pass" if fault.get("proved") else "unknown",
    )


def _reasons(reasons: Sequence[str]) -> list[str]:
    shown = list(reasons[:REASONS])
    if len(reasons) > REASONS:
        shown.append(f"… and {len(reasons) - REASONS} more in the report.")
    lines = []
    for reason in shown:
        wrapped = textwrap.wrap(" ".join(reason.split()), WIDTH - 2, max_lines=2, placeholder=" …")
        lines += [f"{'  ' if place else '- '}{line}" for place, line in enumerate(wrapped)]
    return lines


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, (int, float)) else "-"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
