# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a system is in its steady state, by what its nodes and the observer's Prometheus answered. Pure."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.agent.states import holds

Record = dict[str, Any]
Answers = Mapping[str, Mapping[str, Any]]
"""By host, what `foundation.testbed.ask_state` returned; anything else is no answer."""

COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "above": operator.gt,
    "below": operator.lt,
    "at_most": operator.le,
    "at_least": operator.ge,
}
BOUNDS = {"is": "", "above": "above ", "below": "below ", "at_most": "at most ", "at_least": "at least "}


def judged(conditions: Sequence[Mapping[str, Any]], nodes: Sequence[str], answers: Answers) -> list[Record]:
    """Return every condition with `held` (None: it could not be asked), `found`, and `reason` in words."""
    return [
        _query(condition, answers) if "promql" in condition else _state(condition, nodes, answers)
        for condition in conditions
    ]


def after_verdicts(plan: Mapping[str, Any], run: Mapping[str, Any]) -> list[Record]:
    """Return verdict and reason of each condition after the run; `run` is run.json."""
    conditions = plan.get("steady_state") or []
    found = (run.get("steady_state") or {}).get("after")
    if found is None:
        reason = "Nobody asked after the run whether the steady state was back."
        return [{"verdict": "unknown", "reason": reason}] if conditions else []
    within = f"within {plan.get('recovery_wait_s', 0):g} s of the end"
    return [
        {
            "verdict": {True: "pass", False: "fail"}.get(entry.get("held"), "unknown"),
            "reason": f"The steady state was not back {within}: {entry.get('reason')}."
            if entry.get("held") is False
            else f"Whether the steady state was back {within} is not known: {entry.get('reason')}.",
        }
        for entry in found
    ]


def not_awaited(entry: Record) -> Record:
    """Return what is known of a condition that the user did not want to wait for."""
    if entry["held"] is not False:
        return entry
    return {**entry, "held": None, "reason": f"{entry['reason']}; the user did not want to wait"}


def _state(condition: Mapping[str, Any], nodes: Sequence[str], answers: Answers) -> Record:
    said = {node: _said(answers.get(node) or {}) for node in nodes}
    silent = [node for node in nodes if said[node] is None]
    wrong = [node for node in nodes if said[node] is not None and not holds(condition, said[node] or {}, {})]
    found = {
        node: None if answer is None else answer.get(condition["state"]) for node, answer in said.items()
    }
    held = _any_held(nodes, silent, wrong) if condition.get("nodes") == "any" else _all_held(silent, wrong)
    state, wanted = (
        condition["state"],
        f"wanted: {_bound(condition)} on {condition.get('nodes', 'all')} nodes",
    )
    if not nodes:
        reason = "no node runs the system"
    elif held is None:
        reason = f"{_list(silent)} could not be asked for {state}"
    else:
        values = {node: _shown(found[node]) for node in wrong}
        each = [
            f"{value} on {_list([node for node in wrong if values[node] == value])}"
            for value in dict.fromkeys(values.values())
        ]
        reason = f"{state} was {' and '.join(each)}; {wanted}"
    return {**condition, "held": held if nodes else None, "found": found, "reason": "" if held else reason}


def _all_held(silent: Sequence[str], wrong: Sequence[str]) -> bool | None:
    return False if wrong else (None if silent else True)


def _any_held(nodes: Sequence[str], silent: Sequence[str], wrong: Sequence[str]) -> bool | None:
    if len(silent) + len(wrong) < len(nodes):
        return True
    return None if silent else False


def _query(condition: Mapping[str, Any], answers: Answers) -> Record:
    query = condition["promql"]
    told: Mapping[str, Any] = next(
        (answer["queries"][query] for answer in answers.values() if query in answer.get("queries", {})), {}
    )
    values = told.get("values") or []
    if not values:
        reason = f"{query}: {told.get('error') or 'the observer gave no answer'}"
        return {**condition, "held": None, "found": None, "reason": reason}
    held = all(_within(condition, value) for value in values)
    found = values[0] if len(values) == 1 else values
    shown = ", ".join(f"{value:g}" for value in values[:5]) + (", …" if len(values) > 5 else "")
    reason = "" if held else f"{query} was {shown}; wanted: {_bound(condition)}"
    return {**condition, "held": held, "found": found, "reason": reason}


def _within(condition: Mapping[str, Any], value: float) -> bool:
    return all(compare(value, condition[key]) for key, compare in COMPARISONS.items() if key in condition)


def _said(answer: Mapping[str, Any]) -> Mapping[str, Any] | None:
    health = answer.get("health")
    return health if isinstance(health, Mapping) and not answer.get("unreachable") else None


def _bound(condition: Mapping[str, Any]) -> str:
    return " and ".join(
        f"{words}{_shown(condition[key])}" for key, words in BOUNDS.items() if key in condition
    )


def _shown(value: Any) -> str:
    if value is None:
        return "not told"
    return str(value).lower() if isinstance(value, bool) else f"{value}"


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)
