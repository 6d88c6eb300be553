# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``summary.md``: a run on one screen of Markdown, for a continuous integration job's page."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils.fault_words import detail
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.sentence import (
    by_weight,
    further_reasons,
    sentence,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.words import (
    NOTHING,
    VERDICT_WORDS,
    amount,
    seconds,
    steady_rows,
    threshold,
)

MARKS = {"pass": "✅ pass", "fail": "❌ fail"}
UNKNOWN = "⚠️ unknown"
MAX_ROWS = 20

Entry = Mapping[str, Any]


def summary(results: Entry, plan: Entry, run: Entry) -> str:
    """Return the summary of a run as Markdown."""
    word = VERDICT_WORDS.get(str(results.get("verdict")), "?")
    title = (plan.get("scenario") or {}).get("title") or results.get("scenario")
    parts = [
        f"## {_mark(results.get('verdict')).split()[0]} {word}: {_text(title)}",
        f"**{_text(sentence(results, plan))}**",
        _list(further_reasons(results)),
        f"**Aborted.** {_text(results['aborted'])}" if results.get("aborted") else "",
        _table(("criterion", "required", "measured", "verdict"), _criteria(results)),
        _table(("fault", "from, s", "to, s", "recovery", "proof"), _faults(results, plan)),
        _table(("steady state", "before", "after"), _steady(results.get("steady_state") or {})),
        _anomalies(results),
        f"Run `{_code(results.get('run'))}`, seed {_text(results.get('seed'))}. Run it again:",
        f"```sh\n{_fenced(run.get('command'))}\n```" if run.get("command") else "",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _criteria(results: Entry) -> Iterator[Sequence[str]]:
    for item in results.get("criteria") or []:
        measured = amount(item.get("actual"), str(item.get("unit") or ""))
        yield str(item.get("name")), threshold(item), measured, _mark(item.get("verdict"))
    for check in results.get("checks") or []:
        keys = (check.get("detail") or {}).get("keys", "?")
        found = f"{len(check.get('anomalies') or [])} anomalies in {keys} keys"
        yield f"check {check.get('name')}", "no anomaly", found, _mark(check.get("verdict"))


def _faults(results: Entry, plan: Entry) -> Iterator[Sequence[str]]:
    planned = {fault.get("id"): fault for fault in plan.get("faults") or []}
    for fault in results.get("faults") or []:
        of_plan = planned.get(fault.get("id"))
        words = f": {detail(of_plan)}" if of_plan else ""
        yield (
            f"{fault.get('id')}{words}", seconds(fault.get("applied_s"), 1),
            seconds(fault.get("reverted_s"), 1), amount(fault.get("recovery_s"), "s"),
            "✅ proved" if fault.get("proved") else "⚠️ not proved",
        )  # fmt: skip


def _steady(steady: Entry) -> Iterator[Sequence[str]]:
    for row in steady_rows(steady):
        yield str(row["said"]), _held(row.get("before")), _held(row.get("after"))


def _held(item: Entry | None) -> str:
    if item is None:
        return NOTHING
    return {True: "✅ held", False: "❌ did not hold"}.get(item.get("held"), "⚠️ not known")  # type: ignore[arg-type]


def _anomalies(results: Entry) -> str:
    checks = results.get("checks") or []
    found = by_weight(anomaly for check in checks for anomaly in check.get("anomalies") or [])
    lines = [
        f"{item.get('message')}"
        + (f" (while {', '.join(item['faults'])} held)" if item.get("faults") else "")
        for item in found[:5]
    ]
    more = [f"… and {len(found) - 5} more in results.json"] if len(found) > 5 else []
    return f"**Anomalies**\n\n{_list([*lines, *more])}" if lines else ""


def _list(lines: Sequence[str]) -> str:
    more = [f"… and {len(lines) - MAX_ROWS} more in results.json"] if len(lines) > MAX_ROWS else []
    return "\n".join(f"- {_text(line)}" for line in [*lines[:MAX_ROWS], *more])


def _table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    found = [f"| {' | '.join(_text(cell) for cell in row)} |" for row in rows]
    if not found:
        return ""
    return "\n".join([f"| {' | '.join(head)} |", "|" + "---|" * len(head), *found])


def _mark(verdict: Any) -> str:
    return MARKS.get(str(verdict), UNKNOWN)


def _text(value: Any) -> str:
    """Return text on one line in which nothing is markup."""
    return re.sub(r"([\\`*\[\]<|#])", r"\\\1", " ".join(str(value).split()))


def _code(value: Any) -> str:
    return str(value).replace("`", "'")


def _fenced(value: Any) -> str:
    return str(value).replace("```", "'''")
