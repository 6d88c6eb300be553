# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Contracts as users write them (`roles/<system>/contracts/*.yml`), checked before any service is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import not_allowed, shown
from ansible_collections.foundation.testbed.plugins.module_utils.contracts.matching import (
    KEYWORDS,
    TYPES,
    is_a,
)
from ansible_collections.foundation.testbed.plugins.module_utils.contracts.substitution import variables
from ansible_collections.foundation.testbed.plugins.plugin_utils.fields import Duration, Strict
from ansible_collections.foundation.testbed.plugins.plugin_utils.source_file import read_source
from ansible_collections.foundation.testbed.plugins.plugin_utils.systems import ROLES_DIR
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import Mistakes, parse_model
from pydantic import AfterValidator, Field, model_validator

BUILT_IN = frozenset({"unique", "large"})
Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Text = Annotated[str, Field(min_length=1, max_length=100)]
Pointer = Annotated[str, Field(pattern=r"^(/([^~/]|~[01])*)+$", description="A JSON pointer (RFC 6901).")]
Node = Annotated[
    Literal["here", "another"],
    Field(
        description="The service of the node that is checked, or that of another node, where there is one."
    ),
]


def schema_problems(schema: Any, at: str = "") -> Iterator[str]:
    """Return what in a schema is beyond the part of JSON Schema that contracts use, its key first."""
    key = f"{at}." if at else ""
    if not isinstance(schema, Mapping):
        yield f"{at}{': ' if at else ''}given {shown(schema)}; allowed: a mapping, a JSON Schema"
        return
    for word, said in schema.items():
        if word not in KEYWORDS:
            yield f"{key}{word}: {not_allowed(word, KEYWORDS)}"
        elif word == "additionalProperties" and isinstance(said, bool):
            continue
        elif word in ("items", "contains", "additionalProperties"):
            yield from schema_problems(said, f"{key}{word}")
        elif word == "properties" and isinstance(said, Mapping):
            for name, inner in said.items():
                yield from schema_problems(inner, f"{key}{word}.{name}")
        elif not _fits(word, said):
            yield f"{key}{word}: given {shown(said)}; allowed: {_ALLOWED[word]}"


_ALLOWED = {
    "properties": "a mapping of names to schemas",
    "required": "a list of names",
    "enum": "a list of values",
    "type": f"one or several of {', '.join(TYPES)}",
    "pattern": "a regular expression",
    "description": "a text",
    "minimum": "a number",
    "maximum": "a number",
    **dict.fromkeys(["minItems", "maxItems", "minLength", "maxLength"], "a whole number from 0"),
}


def _fits(word: str, said: Any) -> bool:
    """Whether what a word is followed by is of the kind that it needs."""
    texts = isinstance(said, list) and all(isinstance(each, str) for each in said)
    if word == "type":
        return said in TYPES if isinstance(said, str) else texts and bool(said) and set(said) <= set(TYPES)
    if word == "required":
        return texts
    if word == "pattern":
        return isinstance(said, str) and _compiles(said)
    if word in ("minimum", "maximum"):
        return is_a("number", said)
    if word.startswith(("min", "max")):
        return isinstance(said, int) and is_a("integer", said) and said >= 0
    return {"enum": isinstance(said, list), "description": isinstance(said, str)}.get(word, word == "const")


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def _schema(schema: dict[str, Any]) -> dict[str, Any]:
    problems = list(schema_problems(schema))
    if problems:
        raise Mistakes(problems)
    return schema


Schema = Annotated[
    dict[str, Any],
    AfterValidator(_schema),
    Field(description=f"A JSON Schema, of the keywords {', '.join(sorted(KEYWORDS))}."),
]


class SideEffect(Strict):
    """What is to be seen, at the latest so long after the answer."""

    operation: Annotated[Word, Field(description="An operation that only looks.")]
    outcome: Annotated[Word, Field(description="The outcome that it is to come to.")]
    node: Node = "here"
    inputs: Annotated[
        dict[Word, Any], Field(description="Values for variables, beside those of the step.")
    ] = Field(default={})
    answer: Annotated[
        Schema, Field(description="What is to be in its answer, beside what its outcome says.")
    ] = Field(default={})
    within: Duration


class Outcome(Strict):
    """One of the ways in which an operation may end."""

    status: Annotated[int, Field(ge=100, le=599)]
    problem: Annotated[str | None, Field(description="Type of the problem document (RFC 9457).")] = None
    answer: Schema = Field(default={})
    bind: Annotated[
        dict[Word, Pointer], Field(description="Variables that later steps find in the answer.")
    ] = Field(default={})
    patches: Annotated[
        dict[Text, dict[str, Any]],
        Field(
            description="Ways in which the body is wrong: JSON merge patches (RFC 7386), each asked alone."
        ),
    ] = Field(default={})
    malformed: Annotated[
        dict[Text, str], Field(description="Bodies that are no JSON. Each is asked by itself.")
    ] = Field(default={})
    unchanged: Annotated[
        list[Word], Field(description="Operations whose answers are the same before and after.")
    ] = Field(default=[])
    side_effects: dict[Text, SideEffect] = Field(default={})


class Operation(Strict):
    """Something that a service can be asked."""

    system: Annotated[Word | None, Field(description="The system that is asked, where it is another.")] = None
    method: Literal["GET", "PUT", "POST", "DELETE", "PATCH"]
    path: Annotated[str, Field(pattern="^/")]
    query: dict[str, Any] = Field(default={})
    body: Any = None
    volatile: Annotated[
        list[Pointer], Field(description="What in its answer may differ though nothing was changed.")
    ] = Field(default=[])
    outcomes: Annotated[dict[Word, Outcome], Field(min_length=1)]


class Step(Strict):
    """An operation that is to have an outcome now."""

    operation: Word
    outcome: Word
    node: Node = "here"
    inputs: Annotated[dict[Word, Any], Field(description="Values for variables, for this step alone.")] = (
        Field(default={})
    )


class Case(Strict):
    """Steps one after the other; each may use what the ones before it have found."""

    name: Text
    variables: dict[Word, Any] = Field(default={})
    steps: Annotated[list[Step], Field(min_length=1)]


class Contract(Strict):
    """What a service promises: operations with their outcomes, and cases that show each of them."""

    title: Text
    requirement: Annotated[str, Field(description="Where the specification asks for it.")] = ""
    system: Annotated[Word, Field(description="The system whose service is asked.")]
    operations: Annotated[dict[Word, Operation], Field(min_length=1)]
    cases: Annotated[list[Case], Field(min_length=1)]

    @model_validator(mode="after")
    def _sound(self) -> Contract:
        problems = [*_unknown(self), *_never_shown(self), *_unbound(self)]
        if problems:
            raise Mistakes(problems)
        return self

    @property
    def systems(self) -> set[str]:
        """The systems that must be there for it."""
        return {self.system, *(each.system for each in self.operations.values() if each.system)}


def _steps(contract: Contract) -> Iterator[tuple[str, Case, Step]]:
    for number, case in enumerate(contract.cases):
        for place, step in enumerate(case.steps):
            yield f"cases[{number}].steps[{place}]", case, step


def _effects(contract: Contract) -> Iterator[tuple[str, SideEffect]]:
    for name, operation in contract.operations.items():
        for said, outcome in operation.outcomes.items():
            for effect in outcome.side_effects.values():
                yield f"operations.{name}.outcomes.{said}.side_effects", effect


def _unknown(contract: Contract) -> Iterator[str]:
    used: list[tuple[str, Step | SideEffect]] = [(key, step) for key, _case, step in _steps(contract)]
    for key, each in [*used, *_effects(contract)]:
        if each.operation not in contract.operations:
            yield f"{key}.operation: {not_allowed(each.operation, contract.operations)}"
        elif each.outcome not in contract.operations[each.operation].outcomes:
            outcomes = contract.operations[each.operation].outcomes
            yield f"{key}.outcome: {not_allowed(each.outcome, outcomes)}"
    for name, operation in contract.operations.items():
        for said, outcome in operation.outcomes.items():
            key = f"operations.{name}.outcomes.{said}"
            for looked in outcome.unchanged:
                if looked not in contract.operations:
                    yield f"{key}.unchanged: {not_allowed(looked, contract.operations)}"
            if (outcome.patches or outcome.malformed) and operation.body is None:
                yield f"{key}: given patches or malformed bodies; allowed: where the operation has a body"


def _never_shown(contract: Contract) -> Iterator[str]:
    """A clause that no case comes to is a check that cannot fail."""
    seen = {(step.operation, step.outcome) for _key, _case, step in _steps(contract)}
    seen |= {(effect.operation, effect.outcome) for _key, effect in _effects(contract)}
    for name, operation in contract.operations.items():
        for outcome in operation.outcomes.keys() - {said for asked, said in seen if asked == name}:
            key = f"operations.{name}.outcomes.{outcome}"
            yield f"{key}: no case comes to it; allowed: outcomes that a step or a side effect names"


def _unbound(contract: Contract) -> Iterator[str]:
    """Variables that have no value when they are needed."""
    known: set[str] = set()
    before: Case | None = None
    for key, case, step in _steps(contract):
        if case is not before:
            before, known = case, {*BUILT_IN, *case.variables}
            yield from _missing(f"{key.rsplit('.', 1)[0]}.variables", case.variables, set(BUILT_IN))
        yield from _missing(f"{key}.inputs", step.inputs, known)
        operation = contract.operations.get(step.operation)
        outcome = operation.outcomes.get(step.outcome) if operation else None
        if operation is None or outcome is None:
            continue
        have = known | step.inputs.keys()
        yield from _missing(f"{key}, {step.operation}", _templates(operation, outcome), have)
        for name in outcome.unchanged:
            if name in contract.operations:
                yield from _missing(f"{key}, {name}", _asked(contract.operations[name]), have)
        known |= outcome.bind.keys()
        have |= outcome.bind.keys()
        for name, effect in outcome.side_effects.items():
            yield from _missing(f"{key}, {name}", effect.inputs, have)
            if looked := contract.operations.get(effect.operation):
                seen = looked.outcomes.get(effect.outcome)
                wanted = [effect.answer, _templates(looked, seen) if seen else []]
                yield from _missing(f"{key}, {name}", wanted, have | effect.inputs.keys())


def _asked(operation: Operation) -> list[Any]:
    return [operation.path, operation.query, operation.body]


def _templates(operation: Operation, outcome: Outcome) -> list[Any]:
    return [*_asked(operation), outcome.answer, outcome.patches]


def _missing(key: str, template: Any, known: set[str]) -> Iterator[str]:
    for name in sorted(variables(template) - known):
        yield f"{key}: variable {name} has no value here; {not_allowed(name, known)}"


def contract_files(systems: list[str], roles_dir: Path = ROLES_DIR) -> list[Path]:
    """Return the files of the contracts of some systems, in order."""
    return [path for system in systems for path in sorted((roles_dir / system / "contracts").glob("*.yml"))]


def load_contract(path: Path) -> Contract:
    """Read and check a contract; raises InputError with one line for each mistake."""
    data, source = read_source(path, path.name)
    return parse_model(Contract, data, source)
