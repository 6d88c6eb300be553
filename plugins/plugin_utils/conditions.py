# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Conditions of a scenario: what is broken, on which nodes, when and for how long.

What all kinds of fault share is the model here; what one kind may be told, its own file says
(`module_utils/faults`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import (
    Fault,
    fault_class,
    fault_id,
    fault_kinds,
)
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import (
    not_allowed,
    parse_duration,
    read_parameters,
    schema_of,
    shown,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.fields import (
    Duration,
    Figure,
    Instant,
    Lease,
    Percentage,
    Strict,
    said_of,
    scalar,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.selection import NodesField, Selection
from ansible_collections.foundation.testbed.plugins.plugin_utils.specification import SPECIFICATION, required
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import (
    Mistakes,
    as_duration,
    joined,
    problems_of,
    word,
)
from pydantic import (
    BeforeValidator,
    Field,
    ModelWrapValidatorHandler,
    PlainValidator,
    PrivateAttr,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

FaultClass = type[Fault]


def answer(value: Any) -> Any:
    """Return what a system may say of a state, or None; raises ValueError."""
    return None if value is None else scalar(value)


def _true(value: Any) -> Any:
    if value is None or value is True:
        return value
    raise ValueError(f"given {shown(value)}; allowed: true")


Answer = Annotated[
    bool | int | float | str | None,
    PlainValidator(answer),
    WithJsonSchema({"type": ["string", "number", "boolean"]}),
]


class StateCondition(Strict):
    """A state of a node's own system: `state` and one of `is`, `above`, `below`, `changed`."""

    state: str
    is_: Annotated[Answer, Field(alias="is")] = None
    above: Figure = None
    below: Figure = None
    changed: Annotated[Literal[True] | None, PlainValidator(_true), WithJsonSchema({"const": True})] = None

    @model_validator(mode="after")
    def _one(self) -> StateCondition:
        said = list(self.model_dump(by_alias=True, exclude_none=True, exclude={"state"}))
        if len(said) != 1:
            raise ValueError(
                f"given {' and '.join(said) or 'nothing'}; allowed: one of is, above, below, changed"
            )
        return self


@dataclass(frozen=True)
class Every:
    """Repetitions: so far apart, each beginning up to `jitter` earlier or later."""

    interval: float
    jitter: float = 0.0


def _every(value: object) -> Every | None:
    if value is None or isinstance(value, str):
        return None if value is None else Every(parse_duration(value))
    if not isinstance(value, Mapping):
        raise ValueError(f"given {shown(value)}; allowed: a duration, or a mapping of interval, jitter")
    keys = ("interval", "jitter")
    problems = [f"{word(key)}: unknown key; {not_allowed(key, keys)}" for key in value if key not in keys]
    found = {}
    for key in keys:
        try:
            if key in value:
                found[key] = parse_duration(value[key])
        except ValueError as error:
            problems.append(f"{key}: {error}")
    if "interval" not in value:
        problems.append("interval: is required but missing")
    if not problems and "jitter" in found and found["jitter"] >= found["interval"] / 2:
        half = as_duration(found["interval"] / 2)
        problems.append(
            f"jitter: given {shown(value['jitter'])}; allowed: less than half of interval, {half}"
        )
    if problems:
        raise Mistakes(problems)
    return Every(**found)


EVERY_SCHEMA = {
    "description": "Time between the begins of repetitions; with jitter, each is earlier or later by chance.",
    "anyOf": [
        schema_of(parse_duration),
        {
            "type": "object",
            "required": ["interval"],
            "additionalProperties": False,
            "properties": dict.fromkeys(("interval", "jitter"), schema_of(parse_duration)),
        },
    ],
}


@dataclass(frozen=True)
class Broken:
    """Stands for a condition of which another part has found out what is wrong."""

    problems: tuple[str, ...]


def _no_kind(given: object) -> str:
    """Say which kinds there are, and how a word of the specification is said."""
    if isinstance(given, str) and given in SPECIFICATION:
        return (
            f"given {given!r}, a word of the specification; allowed: {', '.join(fault_kinds())}; or, without "
            f"type, {{{given}: {{{', '.join(f'{key}: ...' for key in required(given))}}}}}"
        )
    if given is None:
        return f"given nothing; allowed: {', '.join(fault_kinds())}"
    return not_allowed(given, fault_kinds())


class Condition(Strict):
    """One condition; what its kind is told is checked with it and then in `params`."""

    type: str
    id: Annotated[str, BeforeValidator(fault_id), WithJsonSchema(schema_of(fault_id))] | None = Field(
        None, description="Name in the report; every id once."
    )
    at: Instant | None = Field(None, description="Begin, from the start instant; with after, from that end.")
    after: str | None = Field(None, description="Begins when the condition of this id has ended.")
    for_: Annotated[Lease, Field(alias="for", description="Length.")]
    end: Instant | None = Field(None, description="No repetition lasts beyond this instant.")
    nodes: NodesField = None
    affected_percentage: Percentage | None = Field(
        None, description="Share of the nodes, drawn from the seed."
    )
    when: StateCondition | None = Field(None, description="Begins when a node's system comes to this state.")
    within: Duration | None = Field(None, description="How long it waits for that state.")
    until: StateCondition | None = Field(None, description="Ends when a node's system comes to this state.")
    every: Annotated[Every | None, PlainValidator(_every), WithJsonSchema(EVERY_SCHEMA)] = None
    count: Annotated[int, Field(ge=1, le=100)] | None = Field(None, description="How often it is repeated.")
    max_down: Annotated[int, Field(ge=0)] | None = Field(None, description="Never more nodes down at once.")

    _params: dict[str, Any] = PrivateAttr(default_factory=dict)

    @model_validator(mode="wrap")
    @classmethod
    def _all_told(cls, data: Any, handler: ModelWrapValidatorHandler[Condition]) -> Condition:
        """Check everything about a condition, and tell all of its mistakes at once."""
        if isinstance(data, Broken):
            raise Mistakes(data.problems)
        if not isinstance(data, Mapping):
            return handler(data)
        if data.get("type") not in fault_kinds():
            raise ValueError(f"type: {_no_kind(data.get('type'))}")
        kind, shared = fault_class(data["type"]), shared_keys()
        allowed = [*shared, *kind.parameters]
        problems = [
            f"{word(key)}: unknown key; {not_allowed(key, allowed)}" for key in data if key not in allowed
        ]
        found = None
        try:
            found = handler({key: value for key, value in data.items() if key in shared})
        except ValidationError as error:
            problems += problems_of(cls, error)
        params, wrong = _read(kind, {key: value for key, value in data.items() if key in kind.parameters})
        problems += [*wrong, *_clashes(data, kind, None if wrong else params)]
        if problems or found is None:
            raise Mistakes(problems)
        found._params = params
        return found

    @property
    def kind(self) -> FaultClass:
        """Class of the kind of fault."""
        return fault_class(self.type)

    @property
    def params(self) -> dict[str, Any]:
        """What the kind is told, parsed, with its defaults."""
        return self._params

    @property
    def at_s(self) -> float:
        """Seconds after the start instant, or after what it follows."""
        return self.at or 0.0

    @property
    def targets(self) -> str | list[str] | Selection | None:
        """Whom it is done to."""
        if self.affected_percentage is not None:
            return Selection(percentage=self.affected_percentage)
        return self.nodes


def shared_keys() -> list[str]:
    """Return the keys that conditions of all kinds know."""
    return [field.alias or name for name, field in Condition.model_fields.items()]


def _read(kind: FaultClass, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    params, wrong = read_parameters(kind.parameters, given)
    return params, [joined("", problem) for problem in wrong] or list(kind.problems(params))


def _clashes(data: Mapping[str, Any], kind: FaultClass, params: Mapping[str, Any] | None) -> Iterator[str]:
    """Say which keys do not go together, or need each other; `params` where they are right."""
    said = set(said_of(data, data))
    if not said & {"at", "after"}:
        yield "at: is required but missing; allowed: at, or after"
    if ("when" in said) != ("within" in said):
        yield "within: belongs to when; allowed: both, or neither"
    if ("every" in said) != ("count" in said):
        yield "count: belongs to every; allowed: both, or neither"
    if {"end", "when"} <= said:
        yield "end: given beside when; allowed: one of them, as only a node knows when it began"
    if {"affected_percentage", "nodes"} <= said:
        yield "affected_percentage: given beside nodes; allowed: one of them"
    named_by = None if params is None else kind.names_nodes(params)
    for key in ("nodes", "affected_percentage"):
        if named_by and key in said:
            yield f"{key}: given beside {named_by}; allowed: one of them"
