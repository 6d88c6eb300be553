# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hold running services against a contract: go through its cases, and say of every clause whether it is kept.

A contract is the data that `plugin_utils/contract_file.py` has checked. Services are asked through one
function, and the time is told by two more: nothing here knows the network.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Callable, NamedTuple

from ansible_collections.foundation.testbed.plugins.module_utils.contracts.exchange import (
    Answer,
    Ask,
    Request,
    path_with,
)
from ansible_collections.foundation.testbed.plugins.module_utils.contracts.matching import (
    Mismatch,
    mismatches,
    said,
    same,
)
from ansible_collections.foundation.testbed.plugins.module_utils.contracts.substitution import (
    filled,
    filled_path,
    patched,
    value_at,
    without,
)

BETWEEN_S = 0.1
"""Seconds between two looks at a side effect."""
LARGE = "x" * 70_000
"""More than a service takes as one request."""
JSON, PROBLEM = "application/json", "application/problem+json"
HERE = "here"

Data = Mapping[str, Any]


class Result(NamedTuple):
    """What became of one clause: nothing in `mismatches` where it is kept."""

    case: str
    operation: str
    outcome: str
    clause: str
    mismatches: list[Mismatch]


def recorded(result: Result) -> dict[str, Any]:
    """Return a result as records have it."""
    return {**result._asdict(), "mismatches": [wrong._asdict() for wrong in result.mismatches]}


class Check(NamedTuple):
    """One contract, whom to ask, and the time."""

    contract: Data
    ask: Ask
    unique: str
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def results(self) -> Iterator[Result]:
        """Go through all cases; a case ends at the first step with a broken clause."""
        for number, case in enumerate(self.contract["cases"], 1):
            yield from self._case(case, {"unique": f"{self.unique}.{number}", "large": LARGE})

    def _case(self, case: Data, values: dict[str, Any]) -> Iterator[Result]:
        values.update(filled(case["variables"], values))
        for number, step in enumerate(case["steps"], 1):
            taken = _Step(self, case["name"], number, step, values)
            yield from taken.results()
            if not taken.kept:
                return


class _Step:
    """One step of a case: an operation that is to have one outcome."""

    def __init__(self, check: Check, case: str, number: int, step: Data, values: dict[str, Any]) -> None:
        self.check, self.case, self.number, self.step, self.values = check, case, number, step, values
        self.operation = check.contract["operations"][step["operation"]]
        self.outcome = self.operation["outcomes"][step["outcome"]]
        self.kept = True

    def results(self) -> Iterator[Result]:
        """Say of every clause of the outcome whether it is kept; side effects only of an answer that is."""
        inputs = self._inputs(self.step["inputs"])
        for variant, text in _texts(self.operation, self.outcome, inputs):
            yield from self._answer(f"{variant}: " if variant else "", text, inputs)
        if self.kept:
            for name, effect in self.outcome["side_effects"].items():
                yield self._result(name, self._awaited(name, effect))

    def _answer(self, told: str, text: str | None, inputs: Data) -> Iterator[Result]:
        unchanged = self.outcome["unchanged"]
        before = [self._seen(name, inputs, f"{told}{name} before") for name in unchanged]
        answer = self._asked(self.operation, self.step["node"], inputs, f"{told}asked", text)
        for clause, wrong in judged(self.outcome, answer, inputs):
            yield self._result(told + clause, wrong)
        for name, earlier in zip(unchanged, before):
            later = self._seen(name, inputs, f"{told}{name} after")
            volatile = self.check.contract["operations"][name]["volatile"]
            yield self._result(f"{told}{name} is unchanged", changed(earlier, later, volatile))
        if self.kept:
            bind = self.outcome["bind"].items()
            self.values.update({name: value_at(answer.body, pointer) for name, pointer in bind})

    def _awaited(self, name: str, effect: Data) -> list[Mismatch]:
        """Look for a side effect until it is there; return what is missing of it when the time is over."""
        operation = self.check.contract["operations"][effect["operation"]]
        outcome = operation["outcomes"][effect["outcome"]]
        inputs = self._inputs({**self.step["inputs"], **effect["inputs"]})
        end = self.check.now() + effect["within"]
        while True:
            answer = self._asked(operation, effect["node"], inputs, name)
            clauses = judged(outcome, answer, inputs)
            missing = [wrong for _clause, found in clauses for wrong in found]
            missing += mismatches(filled(effect["answer"], inputs), answer.body) if not missing else []
            if not missing or self.check.now() >= end:
                return missing
            self.check.sleep(BETWEEN_S)

    def _seen(self, name: str, inputs: Data, when: str) -> Answer:
        return self._asked(self.check.contract["operations"][name], HERE, inputs, when)

    def _asked(self, operation: Data, node: str, inputs: Data, what: str, text: str | None = None) -> Answer:
        text = _text(operation, inputs) if text is None else text
        path = path_with(filled_path(operation["path"], inputs), filled(operation["query"], inputs))
        about = (self.case, str(self.number), what)
        system = operation["system"] or self.check.contract["system"]
        return self.check.ask(Request(system, node, operation["method"], path, text, about))

    def _inputs(self, inputs: Data) -> dict[str, Any]:
        return {**self.values, **filled(inputs, self.values)}

    def _result(self, clause: str, wrong: list[Mismatch]) -> Result:
        self.kept = self.kept and not wrong
        return Result(self.case, self.step["operation"], self.step["outcome"], clause, wrong)


def _text(operation: Data, inputs: Data) -> str | None:
    return None if operation["body"] is None else json.dumps(filled(operation["body"], inputs))


def _texts(operation: Data, outcome: Data, inputs: Data) -> Iterator[tuple[str, str | None]]:
    """Return what is sent: once, or once for each way in which the body is wrong, by its name."""
    for name, patch in outcome["patches"].items():
        yield name, json.dumps(patched(filled(operation["body"], inputs), filled(patch, inputs)))
    yield from outcome["malformed"].items()
    if not outcome["patches"] and not outcome["malformed"]:
        yield "", _text(operation, inputs)


def judged(outcome: Data, answer: Answer, inputs: Data) -> Iterator[tuple[str, list[Mismatch]]]:
    """Say of each clause about an answer what in it is not as the outcome is."""
    status, media_type = outcome["status"], media_type_of(outcome)
    yield "status", [] if answer.status == status else [Mismatch("", str(status), _given(answer))]
    unread = answer.error or answer.media_type or "no body"
    right = answer.media_type == media_type and not (answer.status and answer.error)
    yield "media type", [] if right else [Mismatch("", media_type or "no body", unread)]
    if outcome["problem"]:
        yield "problem document", mismatches(problem_schema(outcome), answer.body)
    if outcome["answer"]:
        yield "answer", mismatches(filled(outcome["answer"], inputs), answer.body)
    for name, pointer in outcome["bind"].items():
        yield name, _unbound(answer.body, pointer)


def _given(answer: Answer) -> str:
    """Return a status, and what a problem document says beside it."""
    detail = answer.body.get("detail") if isinstance(answer.body, dict) else None
    return " ".join(filter(None, [str(answer.status or ""), answer.error, detail and f"({said(detail)})"]))


def _unbound(body: Any, pointer: str) -> list[Mismatch]:
    """Say why nothing can be bound: what stands for a variable is one value, and no list or mapping."""
    try:
        value = value_at(body, pointer)
    except LookupError:
        return [Mismatch(pointer, "is there", "nothing")]
    if isinstance(value, (dict, list)):
        return [Mismatch(pointer, "a text or a number", said(value))]
    return []


def media_type_of(outcome: Data) -> str:
    """Return the media type that an outcome has; nothing where it has no body."""
    if outcome["problem"]:
        return PROBLEM
    return "" if outcome["status"] == 204 else JSON


def problem_schema(outcome: Data) -> dict[str, Any]:
    """Return the schema of an outcome's problem document (RFC 9457)."""
    text = {"type": "string", "minLength": 1}
    return {
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"const": outcome["problem"]},
            "title": text,
            "status": {"const": outcome["status"]},
            "detail": text,
        },
    }


def changed(before: Answer, after: Answer, volatile: Sequence[str] = ()) -> list[Mismatch]:
    """Say what differs in two answers that are to be the same, but for what is volatile."""
    earlier, later = (without(answer.body, volatile) for answer in (before, after))
    if (before.status, before.media_type) == (after.status, after.media_type) and same(earlier, later):
        return []
    return [Mismatch("", f"as before: {before.status} {said(earlier)}", f"{after.status} {said(later)}")]
