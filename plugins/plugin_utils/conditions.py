# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Conditions of a scenario: what is broken, on which nodes, when and for how long.

What all kinds of fault share is the model here; what one kind may be told, its own file says
(`module_utils/faults`).
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import (
    ClusterView,
    Fault,
    fault_class,
    fault_id,
    fault_kinds,
)
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import (
    many,
    name,
    not_allowed,
    parse_duration,
    parse_lease,
    percentage,
    read_parameters,
    shown,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.specification import SPECIFICATION, required
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import as_duration, word
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, model_validator

FaultClass = type[Fault]


def _instant(value: object) -> float:
    return 0.0 if value == "0s" else parse_duration(value)


Duration = Annotated[float, BeforeValidator(parse_duration)]
Lease = Annotated[float, BeforeValidator(parse_lease)]
Instant = Annotated[float, BeforeValidator(_instant)]
Percentage = Annotated[float, BeforeValidator(percentage)]


class Strict(BaseModel):
    """A model that knows its keys."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def _figure(value: Any) -> Any:
    """Return a number as it is; raises ValueError."""
    try:
        if value is None or (not isinstance(value, (bool, str)) and math.isfinite(value)):
            return value
    except (TypeError, OverflowError):
        pass
    raise ValueError(f"given {shown(value)}; allowed: a number")


def _answer(value: Any) -> Any:
    """Return what a system may say of a state: a text, a number, true or false; raises ValueError."""
    if isinstance(value, (str, bool)):
        return value
    try:
        return _figure(value)
    except ValueError:
        raise ValueError(f"given {shown(value)}; allowed: a text, a number, true or false") from None


def _true(value: Any) -> Any:
    if value is None or value is True:
        return value
    raise ValueError(f"given {shown(value)}; allowed: true")


Figure = Annotated[float | int | None, PlainValidator(_figure)]


class StateCondition(Strict):
    """A state of a node's own system: `state` and one of `is`, `above`, `below`, `changed`."""

    state: str
    is_: Annotated[bool | int | float | str | None, PlainValidator(_answer), Field(alias="is")] = None
    above: Figure = None
    below: Figure = None
    changed: Annotated[Literal[True] | None, PlainValidator(_true)] = None

    @model_validator(mode="after")
    def _one(self) -> StateCondition:
        said = list(self.model_dump(by_alias=True, exclude_none=True, exclude={"state"}))
        if len(said) != 1:
            raise ValueError(
                f"given {' and '.join(said) or 'nothing'}; allowed: one of is, above, below, changed"
            )
        return self


@dataclass(frozen=True)
class Selection:
    """Nodes drawn from the seed: so many, or a share of them."""

    random: int | None = None
    percentage: float | None = None


NODE_WORDS = ("all", "leader", "followers")


def _nodes(value: object) -> str | list[str] | Selection | None:
    if value is None or (isinstance(value, str) and value in NODE_WORDS):
        return value
    if isinstance(value, (str, list)):
        found: list[str] = many(name)(value)
        return found
    if isinstance(value, Mapping):
        return _selection(value)
    raise ValueError(
        f"given {shown(value)}; allowed: {', '.join(NODE_WORDS)}, a list of names, {{random: N}} or "
        "{percentage: P}"
    )


def _selection(value: Mapping[Any, Any]) -> Selection:
    if len(value) != 1 or (key := next(iter(value))) not in ("random", "percentage"):
        raise ValueError(f"given {shown(value)}; allowed: one of random, percentage")
    try:
        if key == "random":
            return Selection(random=_how_many(value[key]))
        return Selection(percentage=percentage(value[key]))
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def _how_many(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"given {shown(value)}; allowed: a whole number from 1")
    return value


def _no_kind(given: object) -> str:
    """Say which kinds there are, and how a word of the specification is said."""
    if isinstance(given, str) and given in SPECIFICATION:
        return (
            f"given {given!r}, a word of the specification; allowed: {', '.join(fault_kinds())}; or, without "
            f"type, {{{given}: {{{', '.join(f'{key}: ...' for key in required(given))}}}}}"
        )
    return not_allowed(given, fault_kinds())


class Condition(BaseModel):
    """One condition; keys beside these belong to its kind and are in `params` once it is checked."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)

    type: str
    id: Annotated[str, BeforeValidator(fault_id)] | None = None
    at: Instant
    for_: Annotated[Lease, Field(alias="for")]
    end: Instant | None = None
    nodes: Annotated[str | list[str] | Selection | None, PlainValidator(_nodes)] = None
    affected_percentage: Percentage | None = None
    when: StateCondition | None = None
    within: Duration | None = None
    until: StateCondition | None = None
    every: Duration | None = None
    count: Annotated[int, Field(ge=1, le=100)] | None = None
    max_down: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _known_words(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        if data.get("type") not in fault_kinds():
            raise ValueError(f"type: {_no_kind(data.get('type'))}")
        shared = [field.alias or name for name, field in cls.model_fields.items()]
        allowed = [*shared, *fault_class(data["type"]).parameters]
        for key in data:
            if key not in allowed:
                raise ValueError(f"{word(key)}: unknown key; {not_allowed(key, allowed)}")
        return data

    @model_validator(mode="after")
    def _sound(self) -> Condition:
        for problem in self._problems():
            raise ValueError(problem)
        return self

    def _problems(self) -> list[str]:
        problems = []
        if (self.when is None) != (self.within is None):
            problems.append("within: belongs to when; allowed: both, or neither")
        if (self.every is None) != (self.count is None):
            problems.append("count: belongs to every; allowed: both, or neither")
        if self.end is not None and self.when is not None:
            problems.append(
                "end: given beside when; allowed: one of them, as only a node knows when it began"
            )
        if self.affected_percentage is not None and self.nodes is not None:
            problems.append("affected_percentage: given beside nodes; allowed: one of them")
        params, wrong = read_parameters(self.kind.parameters, self.model_extra or {})
        problems += wrong
        if not wrong:
            problems += self.kind.problems(params)
            named_by = self.kind.names_nodes(params)
            chosen = [key for key in ("nodes", "affected_percentage") if getattr(self, key) is not None]
            problems += [
                f"{key}: given beside {named_by}; allowed: one of them" for key in chosen if named_by
            ]
        return problems

    @property
    def kind(self) -> FaultClass:
        """Class of the kind of fault."""
        return fault_class(self.type)

    @property
    def params(self) -> dict[str, Any]:
        """What the kind is told, parsed, with its defaults."""
        return read_parameters(self.kind.parameters, self.model_extra or {})[0]

    def schedule_problems(self, duration_s: float) -> Iterator[str]:
        """Say what is wrong with its times in a scenario that lasts so many seconds."""
        if self.kind.whole_seconds and self.when is None:
            times = {"at": self.at, "for": self.for_, "every": self.every, "end": self.end}
            for key, value in times.items():
                if value is not None and value != int(value):
                    given = as_duration(value)
                    yield f"{key}: given {given}; allowed: whole seconds (as the kernel compares)"
        limit = "the duration" if self.end is None else "end"
        limit_s = duration_s if self.end is None else self.end
        starts = [start_s for start_s, _end_s in self.spans_s]
        latest_s = max(end_s for _start_s, end_s in self.spans_s)
        if self.at >= limit_s:
            yield f"at: given {as_duration(self.at)}; allowed: before {limit}, {as_duration(limit_s)}"
        elif starts[-1] >= limit_s:
            yield (
                f"every: given a begin at {as_duration(starts[-1])}; allowed: before {limit}, "
                + as_duration(limit_s)
            )
        elif latest_s > duration_s:
            yield (
                f"given an end at {as_duration(latest_s)}; allowed: at most the duration, "
                f"{as_duration(duration_s)}"
            )

    @property
    def spans_s(self) -> list[tuple[float, float]]:
        """Begin and latest end of each repetition, seconds from the start instant."""
        starts = [self.at + repeat * (self.every or 0.0) for repeat in range(self.count or 1)]
        last_s = math.inf if self.end is None else self.end
        return [(start_s, min(start_s + (self.within or 0.0) + self.for_, last_s)) for start_s in starts]

    def chosen(self, cluster: ClusterView, draw: random.Random) -> list[str]:
        """Return the nodes that it is about, in the inventory's order; raises ValueError."""
        everyone = list(cluster.nodes)
        nodes = self.nodes
        if self.affected_percentage is not None:
            nodes = Selection(percentage=self.affected_percentage)
        if isinstance(nodes, list):
            for node in nodes:
                if node not in cluster.nodes:
                    raise ValueError(f"nodes: {not_allowed(node, cluster.nodes)}")
                if nodes.count(node) > 1:
                    raise ValueError(f"nodes: given {node!r} {nodes.count(node)} times; allowed: each once")
            return [node for node in everyone if node in nodes]
        if isinstance(nodes, Selection):
            wanted = nodes.random or max(1, round(len(everyone) * (nodes.percentage or 0) / 100))
            if wanted > len(everyone):
                raise ValueError(f"nodes.random: given {wanted}; allowed: at most {len(everyone)} nodes")
            drawn = draw.sample(everyone, wanted)
            return [node for node in everyone if node in drawn]
        return everyone
