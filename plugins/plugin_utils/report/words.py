# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Numbers and verdicts in words, the same in the page, the summary and the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils.fault_words import DECIMAL, duration, size

NOTHING = "\N{EN DASH}"
VERDICT_WORDS = {"pass": "Passed", "fail": "Failed", "unknown": "Unknown"}
VERDICT_MARKS = {"pass": "✓ pass", "fail": "✗ fail"}
COMPARISON_WORDS = {">=": "at least", "<=": "at most", ">": "above", "<": "below", "==": "exactly"}
COMPARISON_SIGNS = {">=": "≥", "<=": "≤"}

Entry = Mapping[str, Any]


def is_number(value: Any) -> bool:
    """Whether a value of a record can be shown as a figure."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def amount(value: Any, unit: str) -> str:
    """Return a value with its unit; a ratio as a percentage, bytes in larger units, nothing as a dash."""
    if not is_number(value):
        return NOTHING
    if unit == "ratio":
        return f"{value * 100:.4g} %"
    if unit in ("bytes", "bytes/s"):
        return size(value, DECIMAL, 1000.0) + unit.removeprefix("bytes")
    return f"{value:.4g} {unit}".strip()


def threshold(criterion: Entry) -> str:
    """Return what a criterion asks for: ``≥ 90 %``."""
    comparison = str(criterion.get("comparison"))
    sign = COMPARISON_SIGNS.get(comparison, comparison)
    return f"{sign} {amount(criterion.get('threshold'), str(criterion.get('unit') or ''))}"


def margin(criterion: Entry) -> str:
    """Return how far the measured value is on the good side of its threshold; negative on the bad side."""
    actual, asked = criterion.get("actual"), criterion.get("threshold")
    if actual is None or asked is None or not is_number(actual) or not is_number(asked):
        return NOTHING
    gap = asked - actual if str(criterion.get("comparison")).startswith("<") else actual - asked
    unit = str(criterion.get("unit") or "")
    shown = amount(gap, unit) if unit.startswith("bytes") else f"{gap:+.4g} {unit}"
    shown = f"{gap * 100:+.3g} points" if unit == "ratio" else shown
    return shown.strip().replace("-", "\N{MINUS SIGN}")


def condition(item: Entry) -> str:
    """Say a condition of the steady state: ``healthy is true on all nodes``, ``up{...} above 3``."""
    key = next((key for key in ("is", "above", "below", "at_least", "at_most") if key in item), None)
    value = item.get(key) if key else None
    said = str(value).lower() if isinstance(value, bool) else f"{value}"
    where = f" on {item['nodes']} nodes" if item.get("nodes") in ("any", "all") else ""
    asked = f" {key.replace('_', ' ')} {said}" if key else ""
    if "comparison" in item:
        asked = (
            f" {COMPARISON_SIGNS.get(str(item['comparison']), item['comparison'])} {item.get('threshold')}"
        )
    return f"{item.get('state') or item.get('promql') or item.get('query') or item.get('name')}{asked}{where}"


def held(answer: Any) -> str:
    """Say whether a condition held; None is that nobody could be asked."""
    return {True: "✓ held", False: "✗ did not hold"}.get(answer, "? not known")


def steady_rows(steady: Entry) -> list[dict[str, Any]]:
    """Return the conditions of the steady state with what was found before and after."""
    rows: dict[str, dict[str, Any]] = {}
    for phase in ("before", "after"):
        for item in steady.get(phase) or []:
            said = condition(item)
            rows.setdefault(said, {"said": said})[phase] = item
    return list(rows.values())


def seconds(value: Any, digits: int = 3) -> str:
    """Return a time on the run's axis with fixed digits."""
    return f"{value:.{digits}f}" if is_number(value) else NOTHING


def plainly(figures: Entry) -> list[str]:
    """Return figures as people say them: names in words, units from the names, what is empty left out."""
    return [
        f"{_name(str(name))} {_figure(str(name), value)}"
        for name, value in figures.items()
        if value not in (None, "", [], {})
    ]


def _name(name: str) -> str:
    for ending in ("_ms", "_s"):
        name = name.removesuffix(ending)
    return name.replace("_", " ")


def _figure(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return f"({', '.join(plainly(value))})"
    if isinstance(value, list):
        inner = (", ".join(plainly(item)) if isinstance(item, Mapping) else f"{item}" for item in value)
        return f"({'; '.join(inner)})"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not is_number(value):
        return f"{value}"
    if name.endswith("_ms"):
        return f"{value:.4g} ms"
    if name.endswith("_s") and not name.endswith("per_s"):
        return duration(round(value, 3))
    return f"{value:.6g}" if isinstance(value, float) else f"{value}"
