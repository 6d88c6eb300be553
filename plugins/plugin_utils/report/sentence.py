# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The verdict in one sentence that needs no knowledge of the testbed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils.fault_words import (
    happened,
    kind_words,
    listed,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.words import (
    COMPARISON_WORDS,
    amount,
    is_number,
)

MEASURED = {
    "system_availability": "{actual} of the requests that could go to any node were answered in time",
    "recovery_time": "it took {actual} to be whole again",
    "error_rate": "{actual} of all requests got no answer",
    "average_response_time": "an answer took {actual} on average",
    "p95_response_time": "one answer in twenty took longer than {actual}",
    "throughput": "it answered {actual}",
}
NAMED_FAULTS = 2

Entry = Mapping[str, Any]


def sentence(results: Entry, plan: Entry) -> str:
    """Return the verdict in one sentence."""
    system = str((plan.get("scenario") or {}).get("system") or "The system")
    if results.get("verdict") == "unknown":
        return _inconclusive(results)
    if results.get("verdict") == "fail":
        return _broken(system, results, plan)
    facts = _facts(results)
    kept = f"{system} kept its promises{_while(_all_faults(results, plan))}"
    return f"{kept}: {listed(facts)}." if facts else f"{kept}."


def further_reasons(results: Entry) -> list[str]:
    """Return the reasons that the sentence itself does not say."""
    reasons = [str(reason) for reason in results.get("reasons") or []]
    return reasons[1:] if results.get("verdict") == "unknown" else reasons


def by_weight(anomalies: Iterable[Entry]) -> list[Entry]:
    """Return anomalies with those first that lie in a fault: they tell more than what came of it later."""
    return sorted(anomalies, key=lambda anomaly: not anomaly.get("faults"))


def _inconclusive(results: Entry) -> str:
    reasons = [str(reason) for reason in results.get("reasons") or []]
    if not reasons:
        return "Nothing can be concluded: something that a judgement needs is missing."
    return f"Nothing can be concluded: {_begun_small(reasons[0])}"


def _begun_small(text: str) -> str:
    """Return a sentence that goes on after a colon; names and abbreviations keep their capitals."""
    first = text.split(" ")[0]
    return f"{text[:1].lower()}{text[1:]}" if first[1:].islower() or len(first) == 1 else text


def _broken(system: str, results: Entry, plan: Entry) -> str:
    wrong = _contradicted(results)
    missed = [_missed(item) for item in results.get("criteria") or [] if _counts(item, bool(wrong))]
    failed = [
        f"the check {check.get('name')} failed"
        for check in results.get("checks") or []
        if check.get("verdict") == "fail" and not wrong
    ]
    missed += _not_back(results)
    all_broken = [*([wrong] if wrong else []), *failed, *missed] or list(results.get("reasons") or [])[:1]
    promises = "a promise" if len(all_broken) == 1 else f"{len(all_broken)} promises"
    while_ = _while(_blamed(results, plan) if wrong else _all_faults(results, plan))
    if wrong:
        rest = f"; moreover {listed(missed)}" if missed else ""
        return f"{system} broke {promises}: {wrong}{while_}{rest}."
    return f"{system} broke {promises}{while_}: {listed(all_broken)}."


def _not_back(results: Entry) -> list[str]:
    after = (results.get("steady_state") or {}).get("after") or []
    return ["its steady state did not come back"] if any(item.get("held") is False for item in after) else []


def _counts(item: Entry, wrong: bool) -> bool:
    """Whether a criterion adds to what is said; wrong answers fail the consistency of data as well."""
    return item.get("verdict") == "fail" and not (wrong and item.get("name") == "data_consistency")


def _missed(item: Entry) -> str:
    unit = str(item.get("unit") or "")
    actual = amount(item.get("actual"), unit)
    said = MEASURED.get(str(item.get("name")), "{name} was {actual}").format(actual=actual, **_named(item))
    asked = f"{COMPARISON_WORDS.get(str(item.get('comparison')), '')} {amount(item.get('threshold'), unit)}"
    return f"{said} ({asked.strip()} was promised)"


def _named(item: Entry) -> dict[str, str]:
    return {"name": str(item.get("name")).replace("_", " ")}


def _facts(results: Entry) -> list[str]:
    """Return the figures that a passed run is proud of."""
    found = {item.get("name"): item for item in results.get("criteria") or []}
    facts = []
    for name in ("system_availability", "data_consistency", "recovery_time"):
        item = found.get(name)
        if item is None or not is_number(item.get("actual")):
            continue
        if name == "data_consistency":
            facts += ["no data was lost or contradicted"] if item["actual"] == 1.0 else []
        else:
            facts.append(MEASURED[name].format(actual=amount(item["actual"], str(item.get("unit")))))
    return facts


def _contradicted(results: Entry) -> str:
    """Return how much of the data was answered wrongly; empty where no check names a key."""
    details = [
        check.get("detail") or {} for check in results.get("checks") or [] if check.get("verdict") == "fail"
    ]
    keys = [(len(detail.get("failed_keys") or []), detail.get("keys")) for detail in details]
    named = [f"{bad} of {whole} keys" for bad, whole in keys if bad and whole]
    show = "shows" if len(keys) == 1 and keys[0][0] == 1 else "show"
    return f"{listed(named)} {show} lost or outdated data" if named else ""


def _blamed(results: Entry, plan: Entry) -> list[Entry]:
    """Return the faults during which wrong answers were given; none where some were given outside them."""
    anomalies = [one for check in results.get("checks") or [] for one in check.get("anomalies") or []]
    active = {fault for anomaly in anomalies for fault in anomaly.get("faults") or []}
    return [fault for fault in _all_faults(results, plan) if fault.get("id") in active]


def _all_faults(results: Entry, plan: Entry) -> list[Entry]:
    """Return the judged faults with what the plan says of them; of those with idle nodes, the others."""
    planned = {fault.get("id"): fault for fault in plan.get("faults") or []}
    return [{**planned.get(fault.get("id"), {}), **fault} for fault in results.get("faults") or []]


def _while(faults: Sequence[Entry]) -> str:
    clauses = list(dict.fromkeys(happened(fault) for fault in faults))
    if not clauses:
        return ""
    if len(clauses) <= NAMED_FAULTS:
        return f" while {listed(clauses)}"
    kinds = Counter(kind_words(fault) for fault in faults)
    named = [kind if count == 1 else f"{count} times {kind}" for kind, count in kinds.items()]
    return f" under {len(faults)} faults ({listed(named)})"
