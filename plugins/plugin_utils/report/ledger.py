# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The ledger as rows for a reader: each unbroken row of evidence in one line, figures with their units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils.ledger_entry import (
    LEDGER_KEYS,
    number,
    total,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.words import plainly

Entry = Mapping[str, Any]
OWN_WORDS = ("packets", "probes", "present", *LEDGER_KEYS)


def ledger_rows(ledger: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return the ledger in order of time, each unbroken row of evidence summed up in one line."""
    rows: list[dict[str, Any]] = []
    open_rows: dict[tuple[Any, Any], dict[str, Any]] = {}
    for entry in sorted(ledger, key=lambda entry: number(entry.get("t_s"), 0.0)):
        key = (entry.get("node"), entry.get("fault"))
        if entry.get("event") == "evidence" and key in open_rows:
            row = open_rows[key]
            row.update(to_s=entry.get("t_s"), count=row["count"] + 1, entry=entry)
            row["absent"] = row["absent"] or entry.get("present") is False
            continue
        row = {
            "node": key[0], "fault": key[1], "event": entry.get("event"), "from_s": entry.get("t_s"),
            "to_s": None, "count": 1, "entry": entry, "absent": entry.get("present") is False,
        }  # fmt: skip
        rows.append(row)
        if entry.get("event") == "evidence":
            open_rows[key] = row
        else:
            open_rows.pop(key, None)
    return [{**row, "detail": detail(row.pop("entry"))} for row in rows]


def detail(entry: Entry) -> str:
    """Return what a ledger entry says beyond who, when and what, in one line."""
    parts = []
    if "packets" in entry:
        parts.append(f"packets {total(entry['packets']):g}")
    if isinstance(entry.get("probes"), Mapping):
        parts += [
            f"probes {name.replace('_', ' ')} {total(count):g}" for name, count in entry["probes"].items()
        ]
    if "present" in entry:
        parts.append("in place" if entry["present"] else "not in place")
    rest = {
        name: value
        for name, value in entry.items()
        if name not in OWN_WORDS and not name.endswith("_ns")  # wall clocks: t_s says when
    }
    return ", ".join([*parts, *plainly(rest)])
