# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every way in which an answer can break what a contract says of it, made from the contract itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ansible_collections.foundation.testbed.plugins.module_utils.contracts.check import (
    Check,
    problem_schema,
)
from ansible_collections.foundation.testbed.plugins.module_utils.contracts.exchange import (
    Answer,
    Ask,
    Request,
)
from ansible_collections.foundation.testbed.plugins.module_utils.contracts.matching import mismatches
from ansible_collections.foundation.testbed.plugins.module_utils.contracts.substitution import variables

About = tuple[str, ...]
OTHER = {"something": ["else"]}


class Recording:
    """What services answered that keep a contract; answers the same again."""

    def __init__(self) -> None:
        self.answers: dict[About, list[Answer]] = {}

    def recording(self, ask: Ask) -> Ask:
        """Return `ask`, with all that comes written down."""

        def asked(request: Request) -> Answer:
            answer = ask(request)
            self.answers.setdefault(request.about, []).append(answer)
            return answer

        return asked

    def results(
        self, contract: Mapping[str, Any], unique: str, about: About = (), instead: Any = None
    ) -> list:
        """Go through a contract again; with another answer, for good, to one request, only its case."""
        seconds = [0.0]
        if about:
            cases = [case if case["name"] == about[0] else _empty(case) for case in contract["cases"]]
            contract = {**contract, "cases": cases}

        def asked(request: Request) -> Answer:
            if request.about == about:
                return instead
            return self.answers[request.about][-1]

        def sleep(pause_s: float) -> None:
            seconds[0] += 1000 * pause_s  # nothing changes in between: one look more is enough

        return list(Check(contract, asked, unique, lambda: seconds[0], sleep).results())


def _empty(case: Mapping[str, Any]) -> dict[str, Any]:
    return {**case, "steps": []}  # in its place, so that the others keep their numbers


class Mutant(NamedTuple):
    """One answer that is not as it should be, and the clause that it breaks."""

    about: About
    how: str
    answer: Answer
    clause: tuple[str, str, str, str]


def mutants(contract: Mapping[str, Any], recording: Recording) -> Iterator[Mutant]:
    """Return for each clause that the recording has come to the ways to break it."""
    steps = {
        (case["name"], str(number)): step
        for case in contract["cases"]
        for number, step in enumerate(case["steps"], 1)
    }
    for about, answers in recording.answers.items():
        case, number, what = about
        step = steps[case, number]
        outcome = contract["operations"][step["operation"]]["outcomes"][step["outcome"]]
        where = (case, step["operation"], step["outcome"])
        for how, clause, answer in _of(contract, outcome, what, answers[-1]):
            yield Mutant(about, how, answer, (*where, clause))


def _of(contract: Any, outcome: Any, what: str, answer: Answer) -> Iterator[tuple[str, str, Answer]]:
    if what.endswith("asked"):
        for how, clause, tampered in answers_against(outcome, answer):
            yield how, what.removesuffix("asked") + clause, tampered
    elif what in outcome["side_effects"]:
        effect = outcome["side_effects"][what]
        seen = contract["operations"][effect["operation"]]["outcomes"][effect["outcome"]]
        for how, _clause, tampered in answers_against(seen, answer):
            yield how, what, tampered
        for how, body in bodies_against(effect["answer"], answer.body):
            yield how, what, answer._replace(body=body)
    elif what.endswith(" after"):
        clause = f"{what.removesuffix(' after')} is unchanged"
        yield "another status", clause, answer._replace(status=answer.status + 1)
        yield "another answer", clause, answer._replace(body=OTHER)


def answers_against(outcome: Any, answer: Answer) -> Iterator[tuple[str, str, Answer]]:
    """Return answers that break one clause of an outcome: how, which, and the answer."""
    yield "another status", "status", answer._replace(status=answer.status + 1)
    yield "no answer", "status", Answer(0, "", error="refused")
    yield "another media type", "media type", answer._replace(media_type="text/html")
    if answer.body is not None:
        yield "no JSON", "media type", answer._replace(body=None, error="no JSON")
    if outcome["problem"]:
        for how, body in bodies_against(problem_schema(outcome), answer.body):
            yield how, "problem document", answer._replace(body=body)
    for how, body in bodies_against(outcome["answer"], answer.body):
        yield how, "answer", answer._replace(body=body)
    for name in outcome["bind"]:
        yield f"nothing to bind {name} to", name, answer._replace(body={})


def bodies_against(schema: Mapping[str, Any], value: Any) -> Iterator[tuple[str, Any]]:
    """Return what a value becomes by breaking one word of a schema after the other."""
    for word, said in schema.items():
        for how, tampered in WORDS[word](said, value):
            yield f"{word}{': ' if how else ''}{how}", tampered


def _members(said: Any, value: Any) -> Iterator[tuple[str, Any]]:
    for name, inner in said.items():
        name = name if name in value else _named(name, value)
        for how, tampered in bodies_against(inner, value[name]):
            yield f"{name} {how}", {**value, name: tampered}


def _named(template: str, value: Any) -> str:
    """The member that a name with a variable in it stands for, where it is the only one."""
    assert variables(template) and len(value) == 1, template
    return next(iter(value))


def _required(said: Any, value: Any) -> Iterator[tuple[str, Any]]:
    for name in said:
        if variables(name):  # whichever it is: none is there then
            yield name, {}
        else:
            yield name, {key: each for key, each in value.items() if key != name}


def _contains(said: Any, value: Any) -> Iterator[tuple[str, Any]]:
    yield "nothing", []
    fitting = [each for each in value if not mismatches(_shape(said), each)]
    for how, tampered in bodies_against(said, fitting[0]):
        yield how, [tampered]


def _shape(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Only what can be said of a value without the values of variables."""
    return {word: said for word, said in schema.items() if word == "required"}


def _items(said: Any, value: Any) -> Iterator[tuple[str, Any]]:
    for how, tampered in bodies_against(said, value[0]):
        yield how, [tampered, *value[1:]]


WORDS: dict[str, Any] = {
    "additionalProperties": lambda said, value: [("", {**value, "surprise": 1})] if said is False else [],
    "const": lambda said, value: [("", [value, OTHER])],
    "contains": _contains,
    "description": lambda said, value: [],
    "enum": lambda said, value: [("", OTHER)],
    "items": _items,
    "maxItems": lambda said, value: [("", [*value, *[OTHER] * (said + 1)])],
    "maxLength": lambda said, value: [("", "x" * (said + 1))],
    "maximum": lambda said, value: [("", said + 1)],
    "minItems": lambda said, value: [("", value[: said - 1])],
    "minLength": lambda said, value: [("", value[: said - 1])],
    "minimum": lambda said, value: [("", said - 1)],
    "pattern": lambda said, value: [("", "\n")],
    "properties": _members,
    "required": _required,
    "type": lambda said, value: [("", {"another": "type"} if "object" not in said else ["another type"])],
}
