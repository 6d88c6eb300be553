# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Numbers and verdicts in words, the same in the page and in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NOTHING = "\N{EN DASH}"
VERDICT_WORDS = {"pass": "Passed", "fail": "Failed", "unknown": "Unknown"}

Entry = Mapping[str, Any]


def sentence(results: Entry, plan: Entry) -> str:
    """Return the verdict in one sentence that needs no knowledge of the testbed."""
    system = str((plan.get("scenario") or {}).get("system") or "The system")
    verdict, faults = results.get("verdict"), list(results.get("faults") or [])
    if verdict == "unknown":
        return f"This run proves nothing about {system}: something that a judgement needs is missing."
    broken = [
        item
        for kind in ("criteria", "checks")
        for item in results.get(kind) or []
        if item["verdict"] == "fail"
    ]
    if verdict == "fail":
        of = sum(len(results.get(kind) or []) for kind in ("criteria", "checks"))
        broke = f"{system} broke {len(broken)} of the {of} promises it was held to"
        return f"{broke}{_while(faults)}{_contradicted(results)}."
    facts = _facts(results)
    kept = f"{system} kept every promise it was held to{_while(faults)}"
    return f"{kept}: {facts}." if facts else f"{kept}."


def amount(value: Any, unit: str) -> str:
    """Return a value with its unit; a ratio as a percentage, nothing as a dash."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return NOTHING
    if unit == "ratio":
        return f"{value * 100:.4g} %"
    return f"{value:.4g} {unit}".strip()


def margin(criterion: Entry) -> str:
    """Return how far the measured value is on the good side of its threshold; negative on the bad side."""
    actual, threshold = criterion.get("actual"), criterion.get("threshold")
    if not isinstance(actual, (int, float)) or not isinstance(threshold, (int, float)):
        return NOTHING
    gap = threshold - actual if str(criterion.get("comparison")).startswith("<") else actual - threshold
    unit = str(criterion.get("unit"))
    shown = f"{gap * 100:+.3g} points" if unit == "ratio" else f"{gap:+.4g} {unit}"
    return shown.strip().replace("-", "\N{MINUS SIGN}")


def _facts(results: Entry) -> str:
    """Return the figures that a passed run is proud of."""
    found = {item["name"]: item.get("actual") for item in results.get("criteria") or []}
    facts = []
    if (share := found.get("system_availability")) is not None:
        facts.append(
            f"{amount(share, 'ratio')} of the requests that could go to any node were answered in time"
        )
    if found.get("data_consistency") == 1.0:
        facts.append("no data was lost or contradicted")
    if (seconds := found.get("recovery_time")) is not None:
        facts.append(f"it was whole again {amount(seconds, 's')} after the disturbance")
    return ", ".join(facts[:-1]) + (" and " if len(facts) > 1 else "") + facts[-1] if facts else ""


def _contradicted(results: Entry) -> str:
    """Return how much of the data was answered wrongly."""
    failed = [
        check.get("detail") or {} for check in results.get("checks") or [] if check["verdict"] == "fail"
    ]
    keys = [(len(detail.get("failed_keys") or []), detail.get("keys")) for detail in failed]
    named = [f"{bad} of {whole} keys" for bad, whole in keys if bad and whole]
    return f": its answers about {' and '.join(named)} contradict each other" if named else ""


def _while(faults: list[Entry]) -> str:
    if not faults:
        return ""
    if len(faults) > 1:
        return f" under {len(faults)} faults"
    fault = faults[0]
    from_s, to_s = fault.get("applied_s"), fault.get("reverted_s")
    lasted = f" of {to_s - from_s:.3g} s" if isinstance(from_s, float) and isinstance(to_s, float) else ""
    return f" under a {str(fault.get('type')).replace('_', ' ')}{lasted}"
